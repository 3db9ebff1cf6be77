//! The scheduler's brain: what happens to deals, tasks, replicates and workers, and why.
//!
//! A deterministic state machine. It never reads a clock, draws a random number, touches network or disk, or logs: all it
//! knows came in as an [`Input`], all it wants done goes out in [`Outputs`].
//!
//! Served are standard deals (contribute, reveal, finalize), and deals that demand an enclave which the pool has an SMS for.
//! Other deals are recorded as refused.
//!
//! Where to look: [`task_may_become`] and [`replicate_may_become`] are the tables of steps; `review` makes the steps that
//! are due; `matching` decides who may have which task; `report` weighs what workers say; `facts` writes down what the chain
//! says; `load` gives everything back after a restart.

mod alarms;
mod backlog;
mod capacity;
mod chain_state;
mod deadlines;
mod deal;
mod deeds;
mod demand;
mod engine;
mod explain;
mod facts;
mod fair;
mod input;
mod load;
mod matching;
mod open;
mod output;
mod parked;
mod ranked;
mod reading;
mod records;
mod recovery;
mod replicate;
mod report;
mod reveal;
mod review;
mod settings;
mod supply;
mod task;
mod tell;
mod turn;
mod upload;
mod workers;

pub use engine::Engine;
pub use explain::{Explanation, Figures};
pub use input::*;
pub use matching::Unfit;
pub use output::*;
pub use records::*;
pub use replicate::{next_action, replicate_may_become};
pub use settings::Settings;
pub use task::{task_may_become, task_may_fall_back};
