//! The telemetry that every target gets: hosts with twelve gauges each, random walks that look like machines.

use crate::random::Random;

/// Seconds between two points of a host.
pub const STEP_SECONDS: i64 = 30;
/// Gauges of a host.
pub const GAUGES: usize = 12;
/// One moment of a host, in the order of [`METRICS`].
pub type Values = [f64; GAUGES];

/// A gauge's name, and which of several it is.
pub struct Metric {
    /// Name in the catalogue.
    pub name: &'static str,
    /// Mount, interface or device.
    pub instance: Option<&'static str>,
}

const fn metric(name: &'static str, instance: Option<&'static str>) -> Metric {
    Metric { name, instance }
}

/// What each host measures.
pub const METRICS: [Metric; GAUGES] = [
    metric("cpu_usage_percent", None),
    metric("memory_usage_percent", None),
    metric("swap_usage_percent", None),
    metric("disk_usage_percent", Some("/")),
    metric("load1", None),
    metric("load5", None),
    metric("load15", None),
    metric("network_receive_bytes_per_second", Some("eth0")),
    metric("network_transmit_bytes_per_second", Some("eth0")),
    metric("disk_read_bytes_per_second", Some("sda")),
    metric("disk_write_bytes_per_second", Some("sda")),
    metric("uptime_seconds", None),
];

/// A host's name.
pub fn host_name(host: usize) -> String {
    format!("vm-{host:04}")
}

/// A value that is drawn back to its mean while it wanders.
#[derive(Clone, Debug)]
struct Noise(f64);

impl Noise {
    fn next(&mut self, random: &mut Random) -> f64 {
        self.0 = 0.95 * self.0 + random.between(-0.15, 0.15);
        self.0.exp()
    }
}

/// A host's values, tick after tick: they depend on seed, host and tick alone.
#[derive(Clone, Debug)]
pub struct Walk {
    random: Random,
    cores: f64,
    usual_cpu: f64,
    cpu: f64,
    burst_ticks: u32,
    usual_memory: f64,
    memory: f64,
    swap: Option<f64>,
    disk: f64,
    loads: [f64; 3],
    receive: (f64, Noise),
    transmit: (f64, Noise),
    read_probability: f64,
    write_bytes: f64,
    uptime: f64,
}

impl Walk {
    /// The walk of a host, from its first tick.
    pub fn new(seed: u64, host: usize) -> Self {
        let mut random = Random::new(seed, host as u64);
        let cores = [1.0, 2.0, 2.0, 4.0, 8.0][(random.unit() * 5.0) as usize];
        let usual_cpu = 3.0 + 55.0 * random.unit().powi(2);
        let memory = random.between(20.0, 80.0);
        let swap = random.between(0.0, 20.0);
        Self {
            cores,
            usual_cpu,
            cpu: usual_cpu,
            burst_ticks: 0,
            usual_memory: memory,
            memory,
            swap: random.chance(0.4).then_some(swap),
            disk: random.between(15.0, 75.0),
            loads: [usual_cpu * cores / 100.0; 3],
            receive: (10_f64.powf(random.between(3.0, 6.0)), Noise(0.0)),
            transmit: (10_f64.powf(random.between(3.0, 6.0)), Noise(0.0)),
            read_probability: random.between(0.1, 0.6),
            write_bytes: 10_f64.powf(random.between(4.0, 6.0)),
            uptime: random.between(0.0, 90.0 * 86_400.0),
            random,
        }
    }

    /// The next tick's values, with two decimals each.
    pub fn next(&mut self) -> Values {
        let random = &mut self.random;
        let is_burst = self.burst_ticks > 0;
        if is_burst {
            self.burst_ticks -= 1;
        } else if random.chance(0.0007) {
            self.burst_ticks = random.between(4.0, 24.0) as u32;
        }
        let (pull, aim) = if is_burst {
            (0.6, 97.0)
        } else {
            (0.12, self.usual_cpu)
        };
        let shake = 5.0 * (random.unit() + random.unit() - 1.0);
        self.cpu = (self.cpu + pull * (aim - self.cpu) + shake).clamp(0.0, 100.0);
        self.memory += 0.01 * (self.usual_memory - self.memory) + random.between(-0.2, 0.2);
        if let Some(swap) = &mut self.swap {
            *swap = (*swap + random.between(-0.025, 0.025)).clamp(0.0, 100.0);
        }
        self.disk += random.between(-0.0018, 0.0022);
        if self.disk > 97.0 {
            // Somebody cleaned up.
            self.disk -= 40.0;
        }
        let running = self.cpu * self.cores / 100.0 * random.between(0.7, 1.3);
        for (load, seconds) in self.loads.iter_mut().zip([60.0, 300.0, 900.0]) {
            *load += (1.0 - (-(STEP_SECONDS as f64) / seconds).exp()) * (running - *load);
        }
        let read = if random.chance(self.read_probability) {
            self.write_bytes * random.between(0.0, 3.0)
        } else {
            0.0
        };
        let write = self.write_bytes * (0.5 + random.unit() * random.unit());
        self.uptime += STEP_SECONDS as f64;
        [
            self.cpu,
            self.memory,
            self.swap.unwrap_or(0.0),
            self.disk,
            self.loads[0],
            self.loads[1],
            self.loads[2],
            self.receive.0 * self.receive.1.next(random),
            self.transmit.0 * self.transmit.1.next(random),
            read,
            write,
            self.uptime + random.between(0.0, 0.05),
        ]
        .map(|value| (value * 100.0).round() / 100.0)
    }
}

/// How much there is of it, and when it ends.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Seed of all walks.
    pub seed: u64,
    /// Hosts that post live.
    pub hosts: usize,
    /// Ticks that every host posts live.
    pub live_ticks: usize,
    /// The first so many hosts have a longer history.
    pub long_hosts: usize,
    /// Ticks of that history before the live ones.
    pub history_ticks: usize,
    /// Unix seconds of the last tick.
    pub last_at: i64,
}

impl Shape {
    /// Unix seconds of the first live tick.
    pub fn live_from(&self) -> i64 {
        self.last_at - (self.live_ticks as i64 - 1) * STEP_SECONDS
    }

    /// Unix seconds of the first tick of the long history.
    pub fn history_from(&self) -> i64 {
        self.live_from() - self.history_ticks as i64 * STEP_SECONDS
    }

    /// All samples.
    pub fn samples(&self) -> usize {
        (self.hosts * self.live_ticks + self.long_hosts * self.history_ticks) * GAUGES
    }

    /// Every point of a host, in order.
    pub fn points(&self, host: usize) -> impl Iterator<Item = (i64, Values)> {
        let is_long = host < self.long_hosts;
        let history = if is_long { self.history_ticks } else { 0 };
        let first_at = self.live_from() - history as i64 * STEP_SECONDS;
        let mut walk = Walk::new(self.seed, host);
        (0..history + self.live_ticks)
            .map(move |tick| (first_at + tick as i64 * STEP_SECONDS, walk.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        seed: 42,
        hosts: 3,
        live_ticks: 5,
        long_hosts: 1,
        history_ticks: 10,
        last_at: 3_000,
    };

    #[test]
    fn a_walk_depends_on_seed_host_and_tick_alone() {
        let ticks = |seed, host| {
            let mut walk = Walk::new(seed, host);
            (0..200).map(|_| walk.next()).collect::<Vec<_>>()
        };
        assert_eq!(ticks(42, 7), ticks(42, 7));
        assert_ne!(ticks(42, 7), ticks(42, 8));
        assert_ne!(ticks(42, 7), ticks(43, 7));
    }

    #[test]
    fn values_are_what_machines_show() {
        for host in 0..20 {
            let mut walk = Walk::new(1, host);
            let mut uptime = 0.0;
            for _ in 0..3_000 {
                let values = walk.next();
                assert!((0.0..=100.0).contains(&values[0]));
                assert!(values.iter().all(|value| *value >= 0.0));
                assert!(values[11] > uptime);
                uptime = values[11];
                for value in values {
                    assert!(((value * 100.0).round() - value * 100.0).abs() < 1e-4);
                }
            }
        }
    }

    #[test]
    fn the_long_history_comes_before_the_live_ticks() {
        let long: Vec<_> = SHAPE.points(0).map(|(at, _)| at).collect();
        let short: Vec<_> = SHAPE.points(1).map(|(at, _)| at).collect();
        assert_eq!((long.len(), short.len()), (15, 5));
        assert_eq!(
            (long[0], short[0]),
            (SHAPE.history_from(), SHAPE.live_from())
        );
        assert_eq!((long[14], short[4]), (3_000, 3_000));
        assert_eq!(SHAPE.samples(), (15 + 5 + 5) * 12);
    }
}
