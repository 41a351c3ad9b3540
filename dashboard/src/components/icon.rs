//! Small drawings, all on a 16 px grid with one stroke.

use yew::prelude::*;

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Four panes: the overview.
    Overview,
    /// A shield: administration.
    Shield,
    /// A looking glass.
    Search,
    /// A sun: go light.
    Sun,
    /// A moon: go dark.
    Moon,
    /// A plus sign.
    Plus,
    /// A cross.
    Cross,
    /// A tick.
    Tick,
    /// Two sheets.
    Copy,
    /// A pencil.
    Pencil,
    /// A bin.
    Bin,
    /// A grid of cells.
    Table,
    /// A triangle with an exclamation mark.
    Warning,
    /// Pointing down.
    Down,
    /// Pointing up.
    Up,
    /// Pointing to the right.
    Right,
    /// A machine.
    Machine,
    /// A diamond: changes, as over a chart.
    Change,
    /// A bell: alerts.
    Bell,
    /// A box: what is installed.
    Inventory,
    /// Two columns: one beside the other.
    Compare,
    /// There and back.
    Swap,
}

impl Glyph {
    fn path(self) -> &'static str {
        match self {
            Self::Overview => {
                "M2.5 2.5h4.5v4.5h-4.5zM9 2.5h4.5v4.5h-4.5zM2.5 9h4.5v4.5h-4.5zM9 9h4.5v4.5h-4.5z"
            }
            Self::Shield => "M8 1.8l5 1.9v4.1c0 3-2 5.4-5 6.4-3-1-5-3.4-5-6.4v-4.1z",
            Self::Search => "M7 2.5a4.5 4.5 0 1 1 0 9a4.5 4.5 0 1 1 0-9M10.4 10.4l3.4 3.4",
            Self::Sun => {
                "M8 5.2a2.8 2.8 0 1 1 0 5.6a2.8 2.8 0 1 1 0-5.6M8 1v1.6M8 13.4v1.6M1 8h1.6M13.4 8h1.6M3.05 3.05l1.1 1.1M11.85 11.85l1.1 1.1M3.05 12.95l1.1-1.1M11.85 4.15l1.1-1.1"
            }
            Self::Moon => "M13.6 9.6a6 6 0 1 1-7.2-7.2a4.8 4.8 0 0 0 7.2 7.2z",
            Self::Plus => "M8 3v10M3 8h10",
            Self::Cross => "M3.8 3.800l8.400 8.400M12.200 3.800l-8.400 8.400",
            Self::Tick => "M3 8.600l3.300 3.200 6.700-7.400",
            Self::Copy => "M6 5.500h7.500v8h-7.500zM10.500 5.500v-3h-8v8h3.500",
            Self::Pencil => "M2.800 13.200l.700-3 7-7 2.300 2.300-7 7zM9 4.700l2.300 2.300",
            Self::Bin => {
                "M2.800 4.300h10.400M6 4.300v-1.800h4v1.800M4.200 4.300l.600 9.200h6.400l.600-9.200M6.800 7v4M9.200 7v4"
            }
            Self::Table => "M2.500 3h11v10h-11zM2.500 6.300h11M2.500 9.700h11M6.500 6.300v6.700",
            Self::Warning => "M8 2.300l6.200 11.200h-12.400zM8 6.500v3.400M8 11.600v.300",
            Self::Down => "M4 6.300l4 4 4-4",
            Self::Up => "M4 9.700l4-4 4 4",
            Self::Right => "M6.300 4l4 4-4 4",
            Self::Change => "M8 2.200l5.800 5.800-5.800 5.800-5.800-5.800z",
            Self::Bell => {
                "M3.300 11.500c1.200-1.300 1.200-2.700 1.200-4.500a3.500 3.500 0 0 1 7 0c0 1.800 0 3.200 1.200 4.500zM6.600 13.500h2.800"
            }
            Self::Inventory => {
                "M2.500 5l5.500-2.800 5.500 2.800v6l-5.500 2.800-5.500-2.800zM2.500 5l5.500 2.800 5.500-2.800M8 7.800v6"
            }
            Self::Compare => "M2.500 3h4.500v10h-4.500zM9 3h4.500v10h-4.500z",
            Self::Swap => "M2.800 5.500h10l-2.500-2.500M13.200 10.500h-10l2.500 2.500",
            Self::Machine => "M2.500 3h11v4h-11zM2.500 9h11v4h-11zM5 5h.200M5 11h.200",
        }
    }
}

/// A drawing beside words that say the same.
pub fn icon(glyph: Glyph) -> Html {
    html! {
        <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
            <path d={glyph.path()} />
        </svg>
    }
}
