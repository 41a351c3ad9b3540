//! The daemon: one loop that observes the machine and hands on what it sees, to the backend, to the endpoint, or to
//! both.

mod observer;
mod pace;
mod taker;
mod tick;

use std::future::{Future, pending};
use std::sync::Arc;
use std::time::Duration;

use crate::push::Pusher;
use crate::serve::Board;
use crate::state::Alive;

pub use observer::{Observer, Seen};
pub use taker::Taker;
pub use tick::Ticks;

/// The first point is measured over this time, so that it has rates.
pub const FIRST_MEASURE: Duration = Duration::from_secs(1);

/// See the module.
pub struct Daemon {
    /// What sees.
    pub observer: Observer,
    /// What shows that something is seen.
    pub alive: Alive,
    /// What tells the backend.
    pub pusher: Option<Pusher>,
    /// What readers are shown.
    pub board: Option<Arc<Board>>,
}

impl Daemon {
    /// Runs until `shutdown`. What was measured and not taken by the backend by then is on disk.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let Self {
            mut observer,
            mut alive,
            mut pusher,
            board,
        } = self;
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let pushed = async {
                match &mut pusher {
                    Some(pusher) => pusher.proceed().await,
                    None => pending().await,
                }
            };
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                seen = observer.next() => {
                    if let Seen::Point { .. } = seen {
                        alive.touch();
                    }
                    if let Some(board) = &board {
                        board.take(&seen);
                    }
                    if let Some(pusher) = &mut pusher {
                        pusher.take(seen);
                    }
                }
                () = pushed => {}
            }
        }
        if let Some(pusher) = pusher {
            pusher.close();
        }
    }
}
