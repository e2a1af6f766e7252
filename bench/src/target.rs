//! Targets: what must be reached, what is wished for, and whether it was. Where figures come from is in `compare`.

use serde_json::{Value, json};

/// With what the figure is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Against {
    /// A multiple of the peer's.
    Peer,
    /// A multiple of the limit.
    Limit,
    /// Nothing: the figure itself.
    Figure,
    /// Nothing: the wait that 999 of 1000 requests did not exceed, in milliseconds.
    LongestWait,
}

/// What is to be reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// With what it is compared.
    pub(crate) against: Against,
    must: f64,
    goal: f64,
    /// Less is better.
    at_most: bool,
}

impl Target {
    /// At least this multiple.
    pub(crate) const fn at_least(against: Against, must: f64, goal: f64) -> Self {
        Self { against, must, goal, at_most: false }
    }

    /// At most this.
    pub(crate) const fn at_most(against: Against, must: f64, goal: f64) -> Self {
        Self { against, must, goal, at_most: true }
    }

    /// Whether it was reached, in a word.
    pub(crate) fn verdict(&self, reached: Option<f64>) -> &'static str {
        let reaches = |wanted: f64, reached: f64| {
            if self.at_most { reached <= wanted } else { reached >= wanted }
        };
        match reached {
            None => "not measured",
            Some(reached) if reaches(self.goal, reached) => "goal met",
            Some(reached) if reaches(self.must, reached) => "met",
            Some(_) => "missed",
        }
    }

    /// `must / goal`, as it is written.
    pub(crate) fn show(&self) -> String {
        let sign = if self.at_most { "≤ " } else { "" };
        if self.must.total_cmp(&self.goal).is_eq() {
            return format!("{sign}{}", self.must);
        }
        format!("{sign}{} / {sign}{}", self.must, self.goal)
    }

    /// With what was reached.
    pub(crate) fn json(&self, opponent: &str, reached: Option<f64>) -> Value {
        json!({
            "against": opponent,
            "must": self.must,
            "goal": self.goal,
            "at most": self.at_most,
            "reached": reached,
            "verdict": self.verdict(reached),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts() {
        let more = Target::at_least(Against::Peer, 0.9, 1.1);
        let less = Target::at_most(Against::Figure, 100.0, 60.0);
        for (target, reached, verdict) in [
            (more, Some(1.1), "goal met"),
            (more, Some(1.0), "met"),
            (more, Some(0.89), "missed"),
            (more, None, "not measured"),
            (less, Some(60.0), "goal met"),
            (less, Some(61.0), "met"),
            (less, Some(101.0), "missed"),
        ] {
            assert_eq!(target.verdict(reached), verdict, "{reached:?}");
        }
        assert_eq!(more.show(), "0.9 / 1.1");
        assert_eq!(less.show(), "≤ 100 / ≤ 60");
        assert_eq!(Target::at_most(Against::LongestWait, 50.0, 50.0).show(), "≤ 50");
    }
}
