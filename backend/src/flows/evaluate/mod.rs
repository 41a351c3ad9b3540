//! Evaluation.

mod board;

pub use board::{AlertBoard, Figures, Values, View};

/// Engine.
#[derive(Default)]
pub struct Engine {}
