//! The fleet as a table: only the rows on the screen exist, values change in place.

use std::collections::HashMap;

use infra_watch_client::types::{Host, HostStatus, Role};
use uuid::Uuid;
use yew::prelude::*;

use super::bar::bar;
use super::go::{Address, link};
use super::icon::{Glyph, icon};
use super::labels::{self, label_chips};
use super::sparkline::sparkline;
use super::status::{self, status_mark};
use super::time::time_or;
use crate::api::use_role;
use crate::fleet::{Column, Sort};
use crate::format;
use crate::hooks::rows::use_rows;
use crate::loaded::Shared;
use crate::pairs::Pairs;
use crate::route::Route;

/// The last hour of each host's CPU.
pub type Histories = HashMap<Uuid, Vec<Option<f64>>>;

#[derive(PartialEq, Properties)]
pub struct FleetTableProps {
    /// Every host.
    pub hosts: Shared<Vec<Host>>,
    /// The places of those that are shown, in order.
    pub places: Vec<usize>,
    /// The last hour of each, as far as it is known.
    pub histories: Option<Shared<Histories>>,
    /// The order that holds.
    pub sort: Sort,
    /// A column's head was pressed.
    pub on_sort: Callback<Column>,
}

/// The table; on a phone its rows are cards.
#[component]
pub fn FleetTable(props: &FleetTableProps) -> Html {
    let body = use_node_ref();
    let rows = use_rows(&body, props.places.len());
    let may_see = use_role() >= Role::Operator;
    let head = |column: Column, name: &'static str, class: &'static str| {
        head(column, name, class, props.sort, &props.on_sort)
    };
    let row = |place: usize| {
        let host = &props.hosts[props.places[place]];
        let history = props
            .histories
            .as_ref()
            .and_then(|histories| histories.get(&host.host_id));
        html! { <Row key={host.host_id.as_u128()} row={place + 2} look={Look::of(host, history, may_see)} /> }
    };
    html! {
        <table class="table fleet" aria-rowcount={(props.places.len() + 1).to_string()}>
            <caption class="visually-hidden">{ "Hosts" }</caption>
            <thead>
                <tr>
                    { head(Column::Worst, "Status", "col-status") }
                    { head(Column::Name, "Host", "col-name") }
                    { head(Column::Os, "System", "col-os") }
                    { head(Column::Cpu, "CPU", "col-bar") }
                    <th scope="col" class="col-spark">{ "CPU, last hour" }</th>
                    { head(Column::Memory, "Memory", "col-bar") }
                    { head(Column::Disk, "Disk", "col-bar") }
                    { head(Column::Uptime, "Uptime", "col-uptime") }
                    { head(Column::LastSeen, "Last seen", "col-seen") }
                </tr>
            </thead>
            <tbody ref={body}>
                <tr key="before" class="spacer" aria-hidden="true"><td colspan="9" height={rows.before_pixels.to_string()}></td></tr>
                { for rows.drawn.clone().map(row) }
                <tr key="after" class="spacer" aria-hidden="true"><td colspan="9" height={rows.after_pixels.to_string()}></td></tr>
            </tbody>
        </table>
    }
}

/// A column's head, which orders by it.
fn head(
    column: Column,
    name: &'static str,
    class: &'static str,
    sort: Sort,
    on_sort: &Callback<Column>,
) -> Html {
    let is_active = sort.column == column;
    // Names and systems rise, figures fall: the worst is looked for first.
    let rises = matches!(column, Column::Name | Column::Os) != sort.reversed;
    let direction = is_active.then_some(if rises { "ascending" } else { "descending" });
    let on_sort = on_sort.clone();
    html! {
        <th scope="col" {class} aria-sort={direction}>
            <button type="button" class="sort" onclick={move |_| on_sort.emit(column)}>
                { name }
                if is_active { { icon(if rises { Glyph::Up } else { Glyph::Down }) } }
            </button>
        </th>
    }
}

/// What a row shows: equal looks are not drawn again.
#[derive(Clone, PartialEq)]
struct Look {
    host_id: Uuid,
    name: String,
    labels: Pairs,
    os: String,
    status: HostStatus,
    cpu: Option<f64>,
    memory: Option<f64>,
    disk: Option<f64>,
    uptime: Option<f64>,
    last_seen_at: Option<chrono::DateTime<chrono::Utc>>,
    history: Vec<Option<f64>>,
    set_aside: usize,
    firing: u32,
    is_out_of_reach: bool,
}

impl Look {
    fn of(host: &Host, history: Option<&Vec<Option<f64>>>, may_see: bool) -> Self {
        Self {
            host_id: host.host_id,
            name: host.name.clone(),
            labels: labels::sorted(&host.labels),
            os: host.os.clone(),
            status: host.status,
            cpu: host.cpu_usage_percent,
            memory: host.memory_usage_percent,
            disk: host.disk_usage_percent,
            uptime: host.uptime_seconds,
            last_seen_at: host.last_seen_at,
            history: history.cloned().unwrap_or_default(),
            set_aside: host.set_aside.len(),
            firing: if may_see { host.firing_alerts } else { 0 },
            is_out_of_reach: host.status == HostStatus::Pending
                && host.collection.failures.is_some_and(|count| count > 0),
        }
    }
}

#[derive(PartialEq, Properties)]
struct RowProps {
    row: usize,
    look: Look,
}

/// One host; a press anywhere on it goes there.
#[component]
fn Row(props: &RowProps) -> Html {
    let look = &props.look;
    let to = Route::Host {
        host_id: look.host_id,
    };
    // The link in it has done its part already.
    let onclick = {
        let to = Address::from(to.clone());
        move |event: MouseEvent| {
            if !event.default_prevented() {
                to.go();
            }
        }
    };
    html! {
        <tr data-host={look.name.clone()} data-status={status::name(look.status)} aria-rowindex={props.row.to_string()} {onclick}>
            <td class="cell-status" title={look.is_out_of_reach.then_some("It cannot be collected")}>{ status_mark(look.status) }</td>
            <td class="cell-name">
                { link(to, "host-link", html! { <>{ &look.name }</> }) }
                <span class="cell-notes">
                    if look.firing > 0 { <span class="badge badge-firing" title="Alerts that fire here">{ icon(Glyph::Bell) }{ look.firing }<span class="visually-hidden">{ " firing" }</span></span> }
                    if look.set_aside > 0 { <span class="badge badge-warning" title="Other machines report as this host, and are not let in">{ icon(Glyph::Warning) }{ look.set_aside }<span class="visually-hidden">{ " machines set aside" }</span></span> }
                    { label_chips(&look.labels) }
                </span>
            </td>
            <td class="cell-os" title={look.os.clone()}>{ &look.os }</td>
            <td class="cell-cpu" data-label="CPU">{ bar("CPU", look.cpu) }</td>
            <td class="cell-spark">{ sparkline(&look.history.clone()) }</td>
            <td class="cell-memory" data-label="Memory">{ bar("Memory", look.memory) }</td>
            <td class="cell-disk" data-label="Disk">{ bar("Disk, fullest mount", look.disk) }</td>
            <td class="cell-uptime">{ look.uptime.map_or_else(|| format::NOTHING.to_owned(), format::duration) }</td>
            <td class="cell-seen">{ time_or(look.last_seen_at, "never") }</td>
        </tr>
    }
}
