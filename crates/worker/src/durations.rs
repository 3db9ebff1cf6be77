//! How long the stages of computing took, for `GET /metrics` and Prometheus (spec `worker.md` §11.3): the last so many runs of each stage,
//! and of whole tasks. Kept in memory only, as in the original; forgets the oldest first.

use std::collections::VecDeque;
use std::time::Duration;

use poco::ids::TaskId;
use serde::{Serialize, Serializer};

/// One of the containers that a task may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Preparing the input of an enclave.
    Pre,
    /// The application.
    App,
    /// Taking the result of an enclave.
    Post,
}

impl Stage {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 3] = [Self::Pre, Self::App, Self::Post];

    /// Its name in the original's figures.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pre => "pre_compute",
            Self::App => "app_compute",
            Self::Post => "post_compute",
        }
    }
}

/// Shortest, longest and average of some runs, in milliseconds; not a number when there were none, which is written as the text `"NaN"`
/// (Q69, kept).
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregate {
    /// How many runs.
    pub duration_samples_count: u32,
    /// The shortest.
    #[serde(serialize_with = "number_or_nan")]
    pub min_duration: f64,
    /// The longest.
    #[serde(serialize_with = "number_or_nan")]
    pub max_duration: f64,
    /// The average.
    #[serde(serialize_with = "number_or_nan")]
    pub average_duration: f64,
}

/// The answer of `GET /metrics`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerMetrics {
    /// Of the stage before the application.
    pub pre_compute_durations: Aggregate,
    /// Of the application.
    pub app_compute_durations: Aggregate,
    /// Of the stage after the application.
    pub post_compute_durations: Aggregate,
    /// Of tasks that had a stage after the application, all stages together. Standard tasks have none.
    pub complete_compute_durations: Aggregate,
}

fn number_or_nan<S: Serializer>(number: &f64, to: S) -> Result<S::Ok, S::Error> {
    if number.is_nan() {
        to.serialize_str("NaN")
    } else {
        to.serialize_f64(*number)
    }
}

/// The last runs of every stage.
#[derive(Debug)]
pub struct Durations {
    window: usize,
    pre: Runs,
    app: Runs,
    post: Runs,
}

#[derive(Debug, Default)]
struct Runs {
    /// Milliseconds of each run, the oldest first.
    samples: VecDeque<u64>,
    /// Milliseconds of each task's last run, the task that ran longest ago first.
    tasks: VecDeque<(TaskId, u64)>,
}

impl Durations {
    /// No runs yet; of each stage the last `window` will be kept.
    #[must_use]
    pub fn of_last(window: usize) -> Self {
        Self {
            window,
            pre: Runs::default(),
            app: Runs::default(),
            post: Runs::default(),
        }
    }

    /// A stage of a task ran for so long.
    pub fn ran(&mut self, stage: Stage, task: TaskId, elapsed: Duration) {
        let window = self.window;
        let runs = match stage {
            Stage::Pre => &mut self.pre,
            Stage::App => &mut self.app,
            Stage::Post => &mut self.post,
        };
        runs.add(
            task,
            u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            window,
        );
    }

    /// The figures of one stage.
    #[must_use]
    pub fn of(&self, stage: Stage) -> Aggregate {
        aggregate(self.runs(stage).samples.iter().copied())
    }

    /// Everything, as `GET /metrics` shows it.
    #[must_use]
    pub fn all(&self) -> WorkerMetrics {
        let complete = self.app.tasks.iter().filter_map(|(task, app)| {
            let post = self.post.of_task(*task)?;
            let pre = self.pre.of_task(*task).unwrap_or(0);
            Some(pre.saturating_add(*app).saturating_add(post))
        });
        WorkerMetrics {
            pre_compute_durations: self.of(Stage::Pre),
            app_compute_durations: self.of(Stage::App),
            post_compute_durations: self.of(Stage::Post),
            complete_compute_durations: aggregate(complete),
        }
    }

    const fn runs(&self, stage: Stage) -> &Runs {
        match stage {
            Stage::Pre => &self.pre,
            Stage::App => &self.app,
            Stage::Post => &self.post,
        }
    }
}

impl Runs {
    fn add(&mut self, task: TaskId, millis: u64, window: usize) {
        self.samples.push_back(millis);
        self.tasks.retain(|(known, _)| *known != task);
        self.tasks.push_back((task, millis));
        while self.samples.len() > window {
            self.samples.pop_front();
        }
        while self.tasks.len() > window {
            self.tasks.pop_front();
        }
    }

    fn of_task(&self, task: TaskId) -> Option<u64> {
        let found = self.tasks.iter().find(|(known, _)| *known == task);
        found.map(|(_, millis)| *millis)
    }
}

fn aggregate(millis: impl Iterator<Item = u64>) -> Aggregate {
    let (mut count, mut sum) = (0_u32, 0.0_f64);
    let (mut least, mut most) = (f64::NAN, f64::NAN);
    for millis in millis {
        let millis = millis as f64;
        count = count.saturating_add(1);
        sum += millis;
        // The lesser and greater of a number and none is the number.
        least = least.min(millis);
        most = most.max(millis);
    }
    Aggregate {
        duration_samples_count: count,
        min_duration: least,
        max_duration: most,
        average_duration: if count == 0 {
            f64::NAN
        } else {
            sum / f64::from(count)
        },
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;

    use super::*;

    const fn task(number: u8) -> TaskId {
        TaskId(B256::repeat_byte(number))
    }

    fn ran(durations: &mut Durations, stage: Stage, number: u8, millis: u64) {
        durations.ran(stage, task(number), Duration::from_millis(millis));
    }

    #[test]
    fn without_runs_the_figures_are_the_text_nan() {
        // Q69
        let shown = serde_json::to_string_pretty(&Durations::of_last(1000).all()).unwrap();
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_standard_task_has_an_application_and_no_complete_duration() {
        let mut durations = Durations::of_last(1000);
        ran(&mut durations, Stage::App, 1, 100);
        ran(&mut durations, Stage::App, 2, 301);
        let shown = serde_json::to_string_pretty(&durations.all()).unwrap();
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn a_task_with_all_stages_is_complete_and_the_stage_before_counts_as_nothing_where_it_is_missing()
     {
        let mut durations = Durations::of_last(1000);
        ran(&mut durations, Stage::Pre, 1, 5);
        ran(&mut durations, Stage::App, 1, 100);
        ran(&mut durations, Stage::Post, 1, 20);
        ran(&mut durations, Stage::App, 2, 200);
        ran(&mut durations, Stage::Post, 2, 20);
        ran(&mut durations, Stage::App, 3, 900);
        let complete = durations.all().complete_compute_durations;
        assert_eq!(complete.duration_samples_count, 2);
        assert_eq!(
            (
                complete.min_duration,
                complete.max_duration,
                complete.average_duration
            ),
            (125.0, 220.0, 172.5)
        );
    }

    #[test]
    fn only_the_last_runs_count() {
        let mut durations = Durations::of_last(2);
        for (number, millis) in [(1, 900), (2, 100), (3, 300)] {
            ran(&mut durations, Stage::App, number, millis);
            ran(&mut durations, Stage::Post, number, 1);
        }
        let app = durations.of(Stage::App);
        assert_eq!(
            (app.duration_samples_count, app.max_duration),
            (2, 300.0),
            "the oldest is forgotten"
        );
        assert_eq!(
            durations
                .all()
                .complete_compute_durations
                .duration_samples_count,
            2
        );
    }

    #[test]
    fn a_task_that_ran_twice_has_two_runs_and_one_duration() {
        let mut durations = Durations::of_last(10);
        ran(&mut durations, Stage::App, 1, 100);
        ran(&mut durations, Stage::App, 1, 200);
        ran(&mut durations, Stage::Post, 1, 1);
        assert_eq!(durations.of(Stage::App).duration_samples_count, 2);
        let complete = durations.all().complete_compute_durations;
        assert_eq!(
            (complete.duration_samples_count, complete.average_duration),
            (1, 201.0)
        );
    }
}
