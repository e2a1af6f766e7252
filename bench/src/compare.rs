//! Comparisons: a work done by headwater, a peer and a limit, in turns. Rates are means over the turns; ratios are medians
//! over the rounds, of two turns of the same round each; percentiles are medians of the turns'. Drives [`Load`], starts nothing.

use std::{net::SocketAddr, time::Duration};

use serde_json::{Value, json};

use crate::{
    load::{Load, Script, Shown},
    plan::Plan,
    process::{Cost, Meter},
    table::{Cell, Table, say},
    target::{Against, Target},
};

/// One request in so many more is sent before a turn, unmeasured.
const WARM_UP: u64 = 10;

/// Of whom a turn was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// headwater.
    Ours,
    /// Who does the same work.
    Peer,
    /// What cannot be beaten.
    Limit,
}

/// A server that takes part, and what it is sent.
pub(crate) struct Side<'a> {
    /// As what.
    pub(crate) role: Role,
    /// Its name.
    pub(crate) name: &'a str,
    /// Its process.
    pub(crate) pid: u32,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// What it is sent. Every turn has other numbers; the numbers of two sides are the same.
    pub(crate) script: &'a dyn Script,
}

/// In what figures are told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    /// Requests a second; CPU milliseconds per 1000 requests.
    Requests,
    /// Gigabytes (10^9) a second, of requests of so many bytes; CPU seconds per GiB.
    Gigabytes(u64),
    /// Milliseconds: less is better.
    Millis,
    /// MiB: less is better.
    Mebibytes,
    /// KiB: less is better.
    Kibibytes,
}

/// What one turn has shown.
#[derive(Clone, Default)]
pub(crate) struct Turn {
    /// In the row's unit.
    pub(crate) value: f64,
    /// Milliseconds that 500, 990 and 999 of a thousand requests did not exceed.
    pub(crate) waits: Option<[f64; 3]>,
    /// CPU of the server, of the generator, in the row's unit.
    pub(crate) cpu: Option<[f64; 2]>,
    /// The most that was resident, in MiB.
    pub(crate) rss: Option<f64>,
    /// Cores that were busy with something else.
    pub(crate) other: Option<f64>,
}

/// A line of a comparison.
pub(crate) struct Row {
    /// What was done.
    pub(crate) work: String,
    /// In what its figures are.
    pub(crate) unit: Unit,
    /// What is to be reached.
    pub(crate) targets: Vec<Target>,
    /// By whom, with their turns in the order of the rounds.
    pub(crate) sides: Vec<(Role, String, Vec<Turn>)>,
}

/// Lines that belong together.
pub(crate) struct Comparison {
    /// What they are about.
    pub(crate) title: String,
    /// The lines.
    pub(crate) rows: Vec<Row>,
    /// What must be known to read them.
    pub(crate) notes: Vec<String>,
}

/// How much is sent.
pub(crate) struct Amount {
    /// Requests of a turn.
    pub(crate) requests: u64,
    /// Over so many connections.
    pub(crate) connections: usize,
    /// How figures are told.
    pub(crate) unit: Unit,
}

impl Row {
    /// An empty one.
    pub(crate) fn new(work: impl Into<String>, unit: Unit, targets: &[Target]) -> Self {
        Self { work: work.into(), unit, targets: targets.to_vec(), sides: Vec::new() }
    }

    /// Adds a turn.
    pub(crate) fn turn(&mut self, role: Role, name: &str, turn: Turn) {
        match self.sides.iter_mut().find(|(own, ..)| *own == role) {
            Some((_, _, turns)) => turns.push(turn),
            None => self.sides.push((role, name.to_owned(), vec![turn])),
        }
    }

    /// Adds a turn that showed one figure and no more.
    pub(crate) fn value(&mut self, role: Role, name: &str, value: f64) {
        self.turn(role, name, Turn { value, ..Turn::default() });
    }

    /// A side's turns, in the order of the rounds.
    pub(crate) fn turns(&self, role: Role) -> &[Turn] {
        self.sides.iter().find(|(own, ..)| *own == role).map_or(&[], |(_, _, turns)| turns)
    }

    fn name(&self, role: Role) -> &str {
        self.sides.iter().find(|(own, ..)| *own == role).map_or("", |(_, name, _)| name)
    }

    /// The mean of a side's turns.
    pub(crate) fn mean(&self, role: Role) -> Option<f64> {
        let turns = self.turns(role);
        let sum: f64 = turns.iter().map(|turn| turn.value).sum();
        (!turns.is_empty()).then(|| sum / turns.len() as f64)
    }

    /// Ours, as a multiple of the other's: the median over the rounds.
    pub(crate) fn ratio(&self, role: Role) -> Option<f64> {
        let both = self.turns(Role::Ours).iter().zip(self.turns(role));
        median(both.map(|(ours, other)| ours.value / other.value))
    }

    /// What a target is compared with.
    pub(crate) fn reached(&self, target: &Target) -> Option<f64> {
        match target.against {
            Against::Peer => self.ratio(Role::Peer),
            Against::Limit => self.ratio(Role::Limit),
            Against::Figure => self.mean(Role::Ours),
            Against::LongestWait => {
                median(self.turns(Role::Ours).iter().filter_map(|turn| Some(turn.waits?[2])))
            }
        }
    }

    /// Whom a target compares with.
    pub(crate) fn opponent(&self, target: &Target) -> String {
        match target.against {
            Against::Peer => self.name(Role::Peer).to_owned(),
            Against::Limit => self.name(Role::Limit).to_owned(),
            Against::Figure => self.unit.name().to_owned(),
            Against::LongestWait => "p99.9, ms".to_owned(),
        }
    }

    fn middle<const N: usize>(
        &self,
        role: Role,
        of: impl Fn(&Turn) -> Option<[f64; N]>,
    ) -> Option<[f64; N]> {
        let seen: Vec<[f64; N]> = self.turns(role).iter().filter_map(of).collect();
        let mut middle = [0.0; N];
        for (i, to) in middle.iter_mut().enumerate() {
            *to = median(seen.iter().map(|turn| turn[i]))?;
        }
        Some(middle)
    }

    fn cells(&self) -> Vec<Cell> {
        let figure = |role| match self.mean(role) {
            Some(mean) => Cell::text(format!(
                "{}{}{}",
                Cell::Number(mean, self.unit.decimals()).show(),
                if role == Role::Ours { "" } else { " " },
                if role == Role::Ours { "" } else { self.name(role) },
            )),
            None => Cell::Empty,
        };
        let ratio = |role| self.ratio(role).map_or(Cell::Empty, |ratio| Cell::Number(ratio, 2));
        let waits = |role| match self.middle(role, |turn| turn.waits) {
            Some([a, b, c]) => Cell::text(format!("{a:.2} / {b:.2} / {c:.2}")),
            None => Cell::Empty,
        };
        let cpu = |role| match self.middle(role, |turn| turn.cpu) {
            Some([server, own]) => Cell::text(format!("{server:.2} + {own:.2}")),
            None => Cell::Empty,
        };
        let ours = |of: fn(&Turn) -> Option<f64>| {
            let most = self.turns(Role::Ours).iter().filter_map(of).reduce(f64::max);
            most.map_or(Cell::Empty, |most| Cell::Number(most, 1))
        };
        vec![
            Cell::text(&self.work),
            Cell::text(self.unit.name()),
            figure(Role::Ours),
            figure(Role::Peer),
            figure(Role::Limit),
            ratio(Role::Peer),
            ratio(Role::Limit),
            waits(Role::Ours),
            waits(Role::Peer),
            cpu(Role::Ours),
            cpu(Role::Peer),
            ours(|turn| turn.rss),
            ours(|turn| turn.other),
        ]
    }

    fn json(&self) -> Value {
        let side = |(role, name, turns): &(Role, String, Vec<Turn>)| {
            json!({
                "role": format!("{role:?}").to_lowercase(),
                "name": name,
                "mean": self.mean(*role),
                "ratio": self.ratio(*role),
                "turns": turns.iter().map(Turn::json).collect::<Vec<_>>(),
            })
        };
        let target = |target: &Target| target.json(&self.opponent(target), self.reached(target));
        json!({
            "work": self.work,
            "unit": self.unit.name(),
            "sides": self.sides.iter().map(side).collect::<Vec<_>>(),
            "targets": self.targets.iter().map(target).collect::<Vec<_>>(),
        })
    }
}

impl Unit {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests/s",
            Self::Gigabytes(_) => "GB/s",
            Self::Millis => "ms",
            Self::Mebibytes => "MiB",
            Self::Kibibytes => "KiB",
        }
    }

    fn decimals(self) -> usize {
        match self {
            Self::Requests => 0,
            Self::Gigabytes(_) | Self::Millis => 2,
            Self::Mebibytes | Self::Kibibytes => 1,
        }
    }
}

impl Turn {
    /// What requests have shown.
    pub(crate) fn of(unit: Unit, shown: &Shown, cost: &Cost) -> Self {
        let requests = shown.requests as f64;
        let (value, units) = match unit {
            Unit::Gigabytes(bytes) => {
                let (gb, gib) = (bytes as f64 / 1e9, bytes as f64 / f64::from(1 << 30));
                (shown.rate() * gb, requests * gib)
            }
            Unit::Millis => (shown.mean_ms(), requests / 1e6),
            // Milliseconds a thousand requests are seconds a million.
            Unit::Requests | Unit::Mebibytes | Unit::Kibibytes => (shown.rate(), requests / 1e6),
        };
        let per_unit = |cpu: Duration| cpu.as_secs_f64() / units;
        Self {
            value,
            waits: Some([500, 990, 999].map(|per_mille| shown.latency_ms(per_mille))),
            cpu: Some([per_unit(cost.cpu), per_unit(cost.own_cpu)]),
            rss: Some(cost.peak as f64 / f64::from(1 << 20)),
            other: Some(cost.other_cores()),
        }
    }

    fn json(&self) -> Value {
        json!({
            "value": self.value,
            "p50, p99, p99.9 ms": self.waits,
            "cpu of server, of generator": self.cpu,
            "peak rss MiB": self.rss,
            "other cores": self.other,
        })
    }
}

impl Comparison {
    /// An empty one.
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), rows: Vec::new(), notes: Vec::new() }
    }

    /// As it is printed.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&self.title, &COLUMNS);
        self.rows.iter().for_each(|row| table.row(row.cells()));
        table.notes(&self.notes);
        table
    }

    /// With every turn.
    pub(crate) fn json(&self) -> Value {
        json!({
            "title": self.title,
            "notes": self.notes,
            "rows": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
        })
    }
}

const COLUMNS: [&str; 13] = [
    "work",
    "unit",
    "ours",
    "peer",
    "limit",
    "/peer",
    "/limit",
    "ms p50 / p99 / p99.9",
    "peer's",
    "CPU server + client",
    "peer's",
    "RSS MiB",
    "other cores",
];

/// Takes turns: `plan.rounds` rounds, in each every side once, after a warm-up.
pub(crate) fn take_turns(
    plan: &Plan,
    work: &str,
    amount: &Amount,
    sides: &[Side<'_>],
    targets: &[Target],
) -> anyhow::Result<Row> {
    let mut row = Row::new(work, amount.unit, targets);
    let warm_up = (amount.requests / WARM_UP).max(1);
    for round in 0..u64::from(plan.rounds) {
        let first = round * (warm_up + amount.requests);
        for side in sides {
            say(&format!("{work}, round {}, {}", round + 1, side.name));
            let mut load = Load::open(side.address, amount.connections)?;
            load.send(side.script, first..first + warm_up)?;
            let from = first + warm_up;
            let meter = Meter::start(side.pid)?;
            let shown = load.send(side.script, from..from + amount.requests)?;
            let turn = Turn::of(amount.unit, &shown, &meter.read()?);
            row.turn(side.role, side.name, turn);
        }
    }
    Ok(row)
}

/// How many numbers `take_turns` uses.
pub(crate) fn numbers(plan: &Plan, amount: &Amount) -> u64 {
    u64::from(plan.rounds) * ((amount.requests / WARM_UP).max(1) + amount.requests)
}

/// The one in the middle, or the mean of the two there.
pub(crate) fn median(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let mut numbers: Vec<f64> = numbers.collect();
    numbers.sort_unstable_by(f64::total_cmp);
    let half = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        even if even.is_multiple_of(2) => Some((numbers[half - 1] + numbers[half]) / 2.0),
        _ => Some(numbers[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([].into_iter()), None);
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0].into_iter()), Some(3.0));
    }

    #[test]
    fn ratios_are_of_turns_of_a_round() {
        let mut row = Row::new("x", Unit::Requests, &[]);
        for (ours, peer) in [(10.0, 10.0), (60.0, 20.0), (100.0, 50.0)] {
            row.value(Role::Ours, "headwater", ours);
            row.value(Role::Peer, "nginx", peer);
        }
        assert_eq!(row.ratio(Role::Peer), Some(2.0));
        assert_eq!(row.mean(Role::Peer), Some(80.0 / 3.0));
        assert_eq!((row.ratio(Role::Limit), row.mean(Role::Limit)), (None, None));
        assert_eq!(row.cells().len(), COLUMNS.len());
    }

    #[test]
    fn units_of_turns() {
        let shown = Shown::new(Duration::from_secs(2), 4, vec![1000, 3000]);
        let meter = Meter::start(std::process::id()).unwrap();
        let mut cost = meter.read().unwrap();
        cost.cpu = Duration::from_secs(8);
        let turn = |unit| Turn::of(unit, &shown, &cost);
        assert_eq!(turn(Unit::Requests).value, 2.0);
        assert_eq!(turn(Unit::Requests).cpu.unwrap()[0], 2e6);
        assert_eq!(turn(Unit::Millis).value, 2.0);
        assert_eq!(turn(Unit::Gigabytes(1 << 30)).cpu.unwrap()[0], 2.0);
        assert_eq!(turn(Unit::Gigabytes(1_000_000_000)).value, 2.0);
    }
}
