//! What is told, as people read it: subject, headings, facts, and what changed before. No markup yet.

use chrono::{DateTime, SecondsFormat, Utc};

use super::{Links, changes_before, latest};
use crate::domain::change::{
    Change, ChangeKind, ChangeSet, Direction, Disposition, cut, short_name, summary,
};
use crate::domain::notification::{Content, Notice, Preceding, Told, Transition};
use crate::domain::snapshot::PACKAGES;

/// Items of a change set that a letter names.
const NAMED_ITEMS: usize = 10;

/// A message to be read, in plain words.
pub struct Letter {
    /// Its subject, on one line.
    pub subject: String,
    /// Its parts, one an alert.
    pub parts: Vec<Part>,
    /// What is said at the end.
    pub closing: Option<String>,
    /// Where to read on, after the closing.
    pub link: Option<String>,
}

/// What is told about one alert.
pub struct Part {
    /// What became of what.
    pub heading: String,
    /// What is known, each with its name.
    pub facts: Vec<(&'static str, String)>,
    /// Where to read on.
    pub link: Option<String>,
    /// What the changes are.
    pub changes_heading: String,
    /// What changed on the host before.
    pub changes: Vec<Changed>,
}

/// A change set.
pub struct Changed {
    /// When it was seen, and what it was.
    pub heading: String,
    /// Its first items, and how many more there are.
    pub items: Vec<String>,
}

/// The letter that tells this.
pub fn letter(content: &Content, links: &Links) -> Letter {
    let (subject, parts, closing, link) = match content {
        Content::Notices {
            notices,
            held_back,
            preceding,
        } => {
            let latest = latest(notices);
            let parts = latest.iter().map(|notice| part(notice, preceding, links));
            let closing =
                (*held_back > 0).then(|| format!("and {held_back} more, see the alert log"));
            let link = closing.as_ref().and_then(|_| links.alert_log());
            (subject(&latest, *held_back), parts.collect(), closing, link)
        }
        Content::Test { by } => (
            "[TEST] Infra-Watch reaches you".to_owned(),
            Vec::new(),
            Some(format!("{by} tries this channel; nothing is wrong.")),
            links.0.clone(),
        ),
        Content::Heartbeat => (
            "[HEARTBEAT] Infra-Watch is alive".to_owned(),
            Vec::new(),
            Some("Infra-Watch is alive.".to_owned()),
            links.0.clone(),
        ),
    };
    Letter {
        subject: one_line(&subject),
        parts,
        closing: closing.map(|closing| one_line(&closing)),
        link,
    }
}

/// The letter without markup.
pub fn plain(letter: &Letter) -> String {
    let mut lines = Vec::new();
    for part in &letter.parts {
        lines.push(part.heading.clone());
        let facts = part.facts.iter();
        lines.extend(facts.map(|(name, fact)| format!("  {name}: {fact}")));
        lines.extend(part.link.iter().map(|link| format!("  {link}")));
        if !part.changes.is_empty() {
            lines.extend([String::new(), format!("  {}", part.changes_heading)]);
        }
        for changed in &part.changes {
            lines.push(format!("  - {}", changed.heading));
            lines.extend(changed.items.iter().map(|item| format!("      {item}")));
        }
        lines.push(String::new());
    }
    lines.extend(letter.closing.clone());
    lines.extend(letter.link.clone());
    let mut text = lines.join("\n").trim_end().to_owned();
    text.push('\n');
    text
}

fn subject(latest: &[&Notice], held_back: u64) -> String {
    let title = latest
        .first()
        .map(|notice| title(&notice.told))
        .unwrap_or_default();
    if let ([notice], 0) = (latest, held_back) {
        return format!("[{}] {title}", word(notice.transition));
    }
    let counts: Vec<String> = ["FIRING", "STILL FIRING", "RESOLVED"]
        .into_iter()
        .filter_map(|wanted| {
            let is_meant = |notice: &&&Notice| word(notice.transition) == wanted;
            match latest.iter().filter(is_meant).count() {
                0 => None,
                count => Some(format!("{wanted}:{count}")),
            }
        })
        .collect();
    let more = (latest.len() as u64 + held_back).saturating_sub(1);
    format!("[{}] {title} and {more} more", counts.join(" "))
}

fn part(notice: &Notice, preceding: &[Preceding], links: &Links) -> Part {
    let told = &notice.told;
    let heading = format!("{}: {}", word(notice.transition), title(told));
    let time = match notice.transition {
        Transition::Resolved => ("Lasted", span(notice)),
        Transition::Firing | Transition::Repeat(_) => ("Since", time(told.started_at)),
    };
    let facts = [
        Some(("Seen", told.summary.clone())),
        Some(("Condition", told.condition.clone())),
        Some(("Severity", told.severity.as_str().to_owned())),
        Some(("Host", told.host_name.clone())),
        told.instance.clone().map(|instance| ("Instance", instance)),
        Some(time),
    ];
    Part {
        heading: one_line(&heading),
        facts: facts
            .into_iter()
            .flatten()
            .map(|(name, fact)| (name, one_line(&fact)))
            .collect(),
        link: links.alert(told.alert_id),
        changes_heading: one_line(&format!(
            "Changed on {} in the 24 h before:",
            told.host_name
        )),
        changes: changes_before(told, preceding)
            .iter()
            .map(changed)
            .collect(),
    }
}

fn changed(set: &ChangeSet) -> Changed {
    let named = set.items.iter().take(NAMED_ITEMS);
    let mut items: Vec<String> = named.map(|change| one_line(&item(change))).collect();
    match set.items.len().saturating_sub(NAMED_ITEMS) {
        0 => {}
        more => items.push(format!("and {more} more")),
    }
    Changed {
        heading: one_line(&format!(
            "{}  {}",
            time(set.detected_at),
            summary(&set.items)
        )),
        items,
    }
}

/// An item on one line, such as `openssl 3.0.13 → 3.0.14 (upgrade)`. A value that is a keyed hash says nothing.
fn item(change: &Change) -> String {
    let name = cut(short_name(&change.section, &change.key));
    let name = if change.section == PACKAGES {
        name.into_owned()
    } else {
        format!("{} {name}", change.section)
    };
    let said = |value: &Option<String>| {
        let value = value.as_deref().filter(|value| !value.starts_with("hmac:"));
        value.map(|value| cut(value).into_owned())
    };
    let values = match (said(&change.before), said(&change.after)) {
        (Some(before), Some(after)) => format!(" {before} → {after}"),
        (Some(value), None) | (None, Some(value)) => format!(" {value}"),
        (None, None) => String::new(),
    };
    let how = match (change.kind, change.direction) {
        (_, Some(Direction::Upgrade)) => "upgrade",
        (_, Some(Direction::Downgrade)) => "downgrade",
        (ChangeKind::Added, None) => "added",
        (ChangeKind::Removed, None) => "removed",
        (ChangeKind::Changed, None) => "changed",
    };
    let disposition = match change.disposition {
        Disposition::Drift => "",
        Disposition::Expected => ", expected",
        Disposition::Ignored => ", ignored",
    };
    format!("{name}{values} ({how}{disposition})")
}

/// What is watched, what was seen and when, in two sentences.
pub fn description(notice: &Notice) -> String {
    let told = &notice.told;
    let when = match notice.transition {
        Transition::Firing => format!("since {}", time(told.started_at)),
        Transition::Repeat(_) => format!("still, since {}", time(told.started_at)),
        Transition::Resolved => format!("over; it lasted {}", span(notice)),
    };
    format!("{}: {}, {when}", told.condition, told.summary)
}

/// The instance, or nothing.
pub fn instance_of(told: &Told) -> &str {
    told.instance.as_deref().unwrap_or_default()
}

fn title(told: &Told) -> String {
    match &told.instance {
        Some(instance) => format!("{} on {} ({instance})", told.rule_name, told.host_name),
        None => format!("{} on {}", told.rule_name, told.host_name),
    }
}

fn word(transition: Transition) -> &'static str {
    match transition {
        Transition::Firing => "FIRING",
        Transition::Repeat(_) => "STILL FIRING",
        Transition::Resolved => "RESOLVED",
    }
}

fn span(notice: &Notice) -> String {
    let ended_at = notice.told.ended_at.unwrap_or(notice.created_at);
    format!(
        "from {} to {}",
        time(notice.told.started_at),
        time(ended_at)
    )
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Names come from hosts: they must not begin a line of their own, nor turn the reading direction.
fn one_line(text: &str) -> String {
    let is_plain = |character: char| {
        !character.is_control()
            && !matches!(character, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|character| if is_plain(character) { character } else { ' ' })
        .collect()
}

#[cfg(test)]
mod tests;
