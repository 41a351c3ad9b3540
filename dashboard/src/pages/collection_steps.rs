//! What was asked of a host by hand, and what came of it: step by step, and in one sentence.

use infra_watch_client::types::{
    CollectionKind, CollectionTrace, CollectionTraceStep, HostStatus, ReportOutcome, StepOutcome,
};
use yew::prelude::*;

use crate::collection;
use crate::components::status::mark;
use crate::format;

/// What is asked for, or came of it.
pub enum Said {
    /// Nothing yet.
    Nothing,
    /// The connection is being tested.
    Testing,
    /// The host is being collected.
    Collecting,
    /// How a test went.
    Traced(CollectionTrace),
    /// What was collected.
    Collected(ReportOutcome),
}

impl Said {
    /// In one sentence.
    pub fn sentence(&self, kind: CollectionKind) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Testing => "The connection is being tested.".to_owned(),
            Self::Collecting => "The host is being collected.".to_owned(),
            Self::Traced(trace) => match failed(trace) {
                Some(failed) => {
                    let step = collection::step(failed.step, kind);
                    format!("It failed at “{step}”: {}.", failed.detail)
                }
                None => "It works: a report was stored.".to_owned(),
            },
            Self::Collected(outcome) => format!(
                "It was collected: {} new, {} known before.",
                format::count(outcome.accepted as usize, "value"),
                outcome.duplicates
            ),
        }
    }

    /// Whether it went well, once that is known.
    pub fn is_good(&self) -> Option<bool> {
        match self {
            Self::Nothing | Self::Testing | Self::Collecting => None,
            Self::Traced(trace) => Some(failed(trace).is_none()),
            Self::Collected(_) => Some(true),
        }
    }
}

fn failed(trace: &CollectionTrace) -> Option<&CollectionTraceStep> {
    let mut steps = trace.steps.iter();
    steps.find(|step| step.outcome == StepOutcome::Failed)
}

/// The steps of a test in their order.
pub fn steps(trace: &CollectionTrace, kind: CollectionKind) -> Html {
    let line = |step: &CollectionTraceStep| {
        let (status, word) = match step.outcome {
            StepOutcome::Passed => (HostStatus::Up, "passed"),
            StepOutcome::Failed => (HostStatus::Down, "failed"),
            StepOutcome::Skipped => (HostStatus::Pending, "skipped"),
        };
        let took = step
            .milliseconds
            .map(|took| format!("{} ms", format::number(took.round())));
        html! {
            <li class="step" data-step={step.step.to_string()} data-outcome={word}>
                { mark(status, word) }
                <strong>{ collection::step(step.step, kind) }</strong>
                <span class="step-took">{ for took }</span>
                <span class="step-detail">{ &step.detail }</span>
            </li>
        }
    };
    html! { <ol class="steps" aria-label="Steps of the test">{ for trace.steps.iter().map(line) }</ol> }
}

/// What came of it, where screen readers hear of it.
pub fn result(said: &Said, kind: CollectionKind, is_busy: bool, error: Option<AttrValue>) -> Html {
    let words = match error.filter(|_| !is_busy) {
        Some(error) => html! { <span class="field-error">{ error }</span> },
        None => match said.is_good() {
            None => html! { <span class="muted">{ said.sentence(kind) }</span> },
            Some(is_good) => mark(
                if is_good {
                    HostStatus::Up
                } else {
                    HostStatus::Down
                },
                &said.sentence(kind),
            ),
        },
    };
    html! { <p class="collection-result" role="status">{ words }</p> }
}
