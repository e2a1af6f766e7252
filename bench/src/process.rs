//! What a process costs, from /proc: CPU time, resident memory and its peak, beside the generator's own CPU time and what
//! everything else on the machine took meanwhile (a noisy run shows itself). Starts and stops nothing.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use anyhow::Context;

/// Between looks at the resident memory.
const SAMPLE_EVERY: Duration = Duration::from_millis(50);

/// Measures a process from here to [`Meter::read`].
pub(crate) struct Meter {
    pid: u32,
    begun: Instant,
    cpu: Duration,
    own_cpu: Duration,
    machine_cpu: Duration,
    stop: Arc<AtomicBool>,
    peak: Arc<AtomicU64>,
    sampler: Option<JoinHandle<()>>,
}

/// What a process has cost.
pub(crate) struct Cost {
    /// How long it was measured.
    pub(crate) elapsed: Duration,
    /// CPU time it and its children took.
    pub(crate) cpu: Duration,
    /// The most that was seen resident, in bytes.
    pub(crate) peak: u64,
    /// CPU time the generator took.
    pub(crate) own_cpu: Duration,
    other_cpu: Duration,
}

impl Meter {
    /// Begins.
    pub(crate) fn start(pid: u32) -> anyhow::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let peak = Arc::new(AtomicU64::new(rss(pid)?));
        let sampler = thread::spawn({
            let (stop, peak) = (Arc::clone(&stop), Arc::clone(&peak));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    if let Ok(rss) = rss(pid) {
                        peak.fetch_max(rss, Ordering::Relaxed);
                    }
                    thread::sleep(SAMPLE_EVERY);
                }
            }
        });
        Ok(Self {
            pid,
            begun: Instant::now(),
            cpu: cpu(pid)?,
            own_cpu: cpu(std::process::id())?,
            machine_cpu: machine_cpu()?,
            stop,
            peak,
            sampler: Some(sampler),
        })
    }

    /// What the process has cost since the start.
    pub(crate) fn read(&self) -> anyhow::Result<Cost> {
        let cpu = cpu(self.pid)? - self.cpu;
        let own_cpu = cpu_since(std::process::id(), self.own_cpu)?;
        let machine = machine_cpu()?.saturating_sub(self.machine_cpu);
        let rss = rss(self.pid)?;
        Ok(Cost {
            elapsed: self.begun.elapsed(),
            cpu,
            peak: self.peak.fetch_max(rss, Ordering::Relaxed).max(rss),
            own_cpu,
            other_cpu: machine.saturating_sub(cpu + own_cpu),
        })
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(sampler) = self.sampler.take() {
            let _sampled = sampler.join();
        }
    }
}

impl Cost {
    /// Cores that were busy with neither: the noise of the run.
    pub(crate) fn other_cores(&self) -> f64 {
        self.other_cpu.as_secs_f64() / self.elapsed.as_secs_f64()
    }
}

/// Resident memory of a process and its children, in bytes. What they share counts for each.
pub(crate) fn rss(pid: u32) -> anyhow::Result<u64> {
    family(pid).map(rss_of).sum()
}

fn rss_of(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: u64 = line.context("VmRSS")?.trim().trim_end_matches(" kB").parse()?;
    Ok(kib << 10)
}

/// A process and its children, such as a server's workers.
fn family(pid: u32) -> impl Iterator<Item = u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children: Vec<u32> = match (pid == std::process::id(), children) {
        // The servers are the generator's children.
        (false, Ok(children)) => {
            children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
        }
        _ => Vec::new(),
    };
    std::iter::once(pid).chain(children)
}

/// Bytes that a process, all its threads, has had written to block devices. What is written to a file system in memory does
/// not count.
pub(crate) fn written(pid: u32) -> anyhow::Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).context("the server is gone")?;
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok()).context("/proc/PID/io")
}

/// CPU time of a process and its children, of all their threads, those that ended included.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    family(pid).map(cpu_of).sum()
}

fn cpu_of(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    // The name of the program may hold anything; after it, fields 3 and following.
    let (_, fields) = stat.rsplit_once(") ").context("/proc/PID/stat")?;
    let ticks =
        fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(of_ticks(ticks))
}

fn cpu_since(pid: u32, before: Duration) -> anyhow::Result<Duration> {
    Ok(cpu(pid)?.saturating_sub(before))
}

/// CPU time that was not idle, on all cores, time stolen by the host included.
fn machine_cpu() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat")?;
    let ticks: Vec<u64> =
        line.split_whitespace().map(str::parse).collect::<Result<_, _>>().context("/proc/stat")?;
    // user, nice, system, (idle, iowait,) irq, softirq, steal; guest time is part of user.
    Ok(of_ticks([0, 1, 2, 5, 6, 7].iter().filter_map(|i| ticks.get(*i)).sum()))
}

fn of_ticks(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cost_is_seen() {
        let meter = Meter::start(std::process::id()).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_millis(60) {
            std::hint::spin_loop();
        }
        let cost = meter.read().unwrap();
        assert!(cost.cpu > Duration::ZERO && cost.elapsed >= Duration::from_millis(60));
        assert!(cost.peak > 1 << 20);
        assert!(written(std::process::id()).is_ok());
    }
}
