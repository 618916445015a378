//! A night: dumps, their way off the host, and what is left on it afterwards, in this order.
//!
//! Promise: what fails does not keep the rest from being done: pairs of earlier nights leave the host
//! even if there are no new dumps, and dumps that are off-site expire even if the newest are not. Whoever
//! waits for a word gets one, and it names the first failure, whatever fails afterwards. A night that is
//! told to stop ends without a word: it has not failed.

use crate::ports::store::Ping;
use std::fmt::Display;

/// The steps of a night.
#[expect(
    async_fn_in_trait,
    reason = "it is used within this crate and its program alone"
)]
pub trait Night {
    /// Why a step failed.
    type Failure: Display;

    /// Dumps the databases.
    async fn dump(&mut self) -> Result<(), Self::Failure>;
    /// Archives every pair that is not archived yet.
    async fn push(&mut self) -> Result<(), Self::Failure>;
    /// Removes old dumps that are off-site.
    async fn expire(&mut self) -> Result<(), Self::Failure>;
    /// Tells whoever listens, with what there is to say; a failure of this is told on the spot, and is none of the night.
    async fn ping(&mut self, ping: Ping, word: &str);
    /// Calls for help with one line; likewise.
    async fn call_for_help(&mut self, line: &str);
    /// Whether it is to stop.
    fn is_stopped(&self) -> bool;
}

/// What a night came to.
#[derive(Debug)]
pub enum NightReport<F> {
    /// It came to its end; these steps failed, the first of them first.
    Ended(Vec<F>),
    /// It was told to stop.
    CutShort,
}

/// One night; `name` is how the word of a failure calls it.
pub async fn night<N: Night>(steps: &mut N, name: &str) -> NightReport<N::Failure> {
    steps.ping(Ping::Start, "").await;
    let mut failures = Vec::new();
    for step in 0..3 {
        let done = match step {
            0 => steps.dump().await,
            1 => steps.push().await,
            _ => steps.expire().await,
        };
        if steps.is_stopped() {
            return NightReport::CutShort;
        }
        failures.extend(done.err());
    }
    let Some(first) = failures.first() else {
        steps.ping(Ping::Success, "").await;
        return NightReport::Ended(failures);
    };
    let mut line = format!("FAILED run {name}: {first}");
    for other in &failures[1..] {
        let other = other.to_string();
        // A store that is down is in the way of more than one step.
        if !line.ends_with(&other) {
            line += &format!("; and {other}");
        }
    }
    steps.ping(Ping::Failure, &line).await;
    steps.call_for_help(&line).await;
    NightReport::Ended(failures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that fail as told, and what was heard of them.
    #[derive(Default)]
    struct Steps {
        failing: Vec<&'static str>,
        stop_after: Option<&'static str>,
        is_stopped: bool,
        heard: Vec<String>,
    }

    impl Steps {
        fn step(&mut self, name: &'static str) -> Result<(), String> {
            self.heard.push(name.into());
            self.is_stopped |= self.stop_after == Some(name);
            if self.failing.contains(&name) {
                return Err(format!("{name} failed"));
            }
            Ok(())
        }
    }

    impl Night for Steps {
        type Failure = String;

        async fn dump(&mut self) -> Result<(), String> {
            self.step("dump")
        }
        async fn push(&mut self) -> Result<(), String> {
            self.step("push")
        }
        async fn expire(&mut self) -> Result<(), String> {
            self.step("expire")
        }
        async fn ping(&mut self, ping: Ping, _word: &str) {
            self.heard.push(format!("{ping:?}"));
        }
        async fn call_for_help(&mut self, line: &str) {
            self.heard.push(line.into());
        }
        fn is_stopped(&self) -> bool {
            self.is_stopped
        }
    }

    async fn heard(failing: &[&'static str], stop_after: Option<&'static str>) -> Vec<String> {
        let mut steps = Steps {
            failing: failing.to_vec(),
            stop_after,
            ..Steps::default()
        };
        night(&mut steps, "20260101-030000").await;
        steps.heard
    }

    #[tokio::test]
    async fn a_good_night_is_told_once() {
        let all = ["Start", "dump", "push", "expire", "Success"];
        assert_eq!(heard(&[], None).await, all);
    }

    #[tokio::test]
    async fn what_fails_stops_nothing_else_and_the_first_is_named_first() {
        let all = [
            "Start",
            "dump",
            "push",
            "expire",
            "Failure",
            "FAILED run 20260101-030000: dump failed; and push failed",
        ];
        assert_eq!(heard(&["push", "dump"], None).await, all);
    }

    #[tokio::test]
    async fn a_night_that_is_told_to_stop_does_and_calls_nobody() {
        assert_eq!(heard(&["dump"], Some("dump")).await, ["Start", "dump"]);
        let heard = heard(&[], Some("push")).await;
        assert_eq!(heard, ["Start", "dump", "push"]);
    }
}
