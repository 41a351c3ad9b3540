//! Asks every question again and again, and holds the answers against the truth.

use anyhow::{Result, ensure};

use crate::data::Shape;
use crate::figures::{Asked, Latency};
use crate::procfs;
use crate::question::{Question, asked_host, mismatch};
use crate::target::Target;

/// Answers that do not count, before each round.
const WARM_UP: usize = 5;

/// How often each question is asked.
#[derive(Clone, Copy, Debug)]
pub struct Repeats {
    /// Times in a row.
    pub runs: usize,
    /// Times that all questions are gone through.
    pub rounds: usize,
}

/// Asks all questions.
pub fn all(
    target: &dyn Target,
    shape: &Shape,
    repeats: Repeats,
    errors: &mut Vec<String>,
) -> Result<Vec<Asked>> {
    let process_id = target.site().process()?.id();
    let mut client = target.client()?;
    let mut asked = Vec::new();
    for question in Question::ALL {
        let path = target.path(question, asked_host(shape), shape.last_at);
        let answer = client.get(&path)?;
        let title = question.title();
        if answer.status == 200 {
            let points = target.points(question, &answer.body)?;
            if let Some(wrong) = mismatch(&question.truth(shape), &points) {
                errors.push(format!("{title}: {wrong}"));
            }
        } else {
            let body = String::from_utf8_lossy(&answer.body).into_owned();
            errors.push(format!("{title}: {} {body}", answer.status));
        }
        asked.push((question, path, answer.body.len(), Vec::new(), 0.0));
    }
    for _ in 0..repeats.rounds {
        for (question, path, bytes, latencies, cpu) in &mut asked {
            for _ in 0..WARM_UP {
                client.get(path)?;
            }
            let before = procfs::cpu_seconds(process_id)?;
            for _ in 0..repeats.runs {
                let answer = client.get(path)?;
                ensure!(
                    answer.body.len().abs_diff(*bytes) <= *bytes / 10 + 64,
                    "{}: the answer changed its size",
                    question.title()
                );
                latencies.push(answer.took.as_secs_f64() * 1e3);
            }
            *cpu += procfs::cpu_seconds(process_id)? - before;
        }
    }
    let answers = (repeats.runs * repeats.rounds) as f64;
    let shape_of =
        |(question, path, answer_bytes, latencies, cpu): (Question, _, _, _, f64)| Asked {
            question: question.title().to_owned(),
            latency_ms: Latency::of(latencies),
            server_cpu_ms: cpu / answers * 1e3,
            answer_bytes,
            path,
        };
    Ok(asked.into_iter().map(shape_of).collect())
}
