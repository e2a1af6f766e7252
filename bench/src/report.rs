//! What a run leaves: tables on standard output, all figures as JSON, and the page that `bench/RESULTS.md` is. No figure is
//! made here.

use std::fs;

use anyhow::Context;
use serde_json::{Value, json};

use crate::{
    compare::Comparison,
    machine::Machine,
    plan::Plan,
    table::{Cell, Table},
};

/// What is said of figures of engines beside each other.
const SCALE_OUT: &str = "Generator, nodes, PostgreSQL and the S3 server share the machine and speak over loopback and Unix \
     sockets: with three nodes nothing is added but processes, so what three nodes show here is what they cost, not what they \
     give. Durability is on everywhere (PostgreSQL syncs each commit). Connections are spread over the nodes by the generator.";

/// What a work has shown.
pub(crate) enum Part {
    /// Beside a peer or a limit.
    Comparison(Comparison),
    /// By itself.
    Table(Table),
}

impl Part {
    /// Prints it.
    pub(crate) fn print(&self) {
        self.table(Table::print);
    }

    fn table<T>(&self, then: impl FnOnce(&Table) -> T) -> T {
        match self {
            Self::Comparison(comparison) => then(&comparison.table()),
            Self::Table(table) => then(table),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Comparison(comparison) => comparison.json(),
            Self::Table(table) => table.json(),
        }
    }
}

/// Prints the targets, and writes the files the plan asks for.
pub(crate) fn finish(plan: &Plan, machine: &Machine, parts: &[Part]) -> anyhow::Result<()> {
    let targets = targets(parts);
    if !plan.is_scale_out() {
        targets.print();
    }
    if let Some(path) = &plan.json {
        let all = json!({
            "machine": machine.json(),
            "command": plan.command(),
            "parts": parts.iter().map(Part::json).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&all)?;
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &plan.markdown {
        let text = markdown(plan, machine, &targets, parts);
        fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Every target that the works had, and what was reached.
fn targets(parts: &[Part]) -> Table {
    let columns = ["work", "against", "must / goal", "reached", "verdict"];
    let mut table = Table::new("Targets", &columns);
    for part in parts {
        let Part::Comparison(comparison) = part else { continue };
        for row in &comparison.rows {
            for target in &row.targets {
                let reached = row.reached(target);
                table.row(vec![
                    Cell::text(&row.work),
                    Cell::text(row.opponent(target)),
                    Cell::text(target.show()),
                    reached.map_or(Cell::Empty, |reached| Cell::Number(reached, 2)),
                    Cell::text(target.verdict(reached)),
                ]);
            }
        }
    }
    table
}

fn markdown(plan: &Plan, machine: &Machine, targets: &Table, parts: &[Part]) -> String {
    let (command, rounds) = (plan.command(), plan.rounds);
    if plan.is_scale_out() {
        let mut text =
            format!("# Scale-out\n\nWritten by `{command}`. {SCALE_OUT}\n\n## Machine\n\n");
        text += &machine.markdown();
        for part in parts {
            text += "\n";
            text += &part.table(Table::markdown);
        }
        return text;
    }
    let mut text = format!(
        "# Results\n\nWritten by `{command}`. Client and servers share the machine and speak over loopback; \
         durability and checksums are on. `ours` is headwater, `peer` who does the same work, `limit` \
         what cannot be beaten. Rates are means over {rounds} turns, taken in rounds (headwater, peer, \
         limit, headwater, …); ratios are medians over the rounds, each of two turns of the same \
         round; waits are medians of the turns' percentiles. CPU is in milliseconds per 1000 requests, \
         or in seconds per GiB where the unit is GB/s. `other cores` were busy with neither server nor \
         client, at worst: the noise.\n\n## Machine\n\n"
    );
    text += &machine.markdown();
    text += "\n";
    text += &targets.markdown();
    for part in parts {
        text += "\n";
        text += &part.table(Table::markdown);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        compare::{Role, Row, Unit},
        target::{Against, Target},
    };

    #[test]
    fn targets_are_judged() {
        let mut comparison = Comparison::new("a work");
        let targets =
            [Target::at_least(Against::Peer, 0.9, 1.1), Target::at_least(Against::Limit, 0.2, 0.4)];
        let mut row = Row::new("GET", Unit::Requests, &targets);
        row.value(Role::Ours, "headwater", 100.0);
        row.value(Role::Peer, "nginx", 100.0);
        comparison.rows.push(row);
        let shown = super::targets(&[Part::Comparison(comparison)]).render();
        let lines: Vec<&str> = shown.lines().collect();
        assert!(lines[2].contains("| nginx   | 0.9 / 1.1   |    1.00 | met "), "{shown}");
        assert!(lines[3].contains("| 0.2 / 0.4   |       - | not measured"), "{shown}");
    }
}
