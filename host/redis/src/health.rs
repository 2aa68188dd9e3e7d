//! How the way to Redis is, for health pages and metrics.

use serde::Serialize;
use tidegate_core::clock::millis;
use tokio::time::Instant;

use crate::lane::{Lane, State};
use crate::nodes::Known;
use crate::route::Route;

/// How the connections of a process are; holds no secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// What stands behind the addresses: `single`, `sentinel` or `cluster`.
    pub kind: &'static str,
    /// Whether they can be used: all, some, or none.
    pub state: ServerState,
    /// Milliseconds for which it has been so.
    pub since_ms: u64,
    /// Why one cannot be used, such as `WRONGPASS: …` or what the system said.
    pub reason: Option<String>,
    /// Each server that is known.
    pub servers: Vec<ServerHealth>,
    /// Why nothing is heard that other processes tell, so that waiters wake late.
    pub deaf: Option<String>,
    /// Connections that replaced a lost one.
    pub reconnects: u64,
    /// Answers that a server was away.
    pub away_answers: u64,
    /// What a server last refused to do.
    pub last_refusal: Option<String>,
    /// Microseconds of the last probe's round trip.
    pub probe_us: Option<u64>,
    /// Processes that share Redis, by the last heartbeat; at least this one.
    pub processes: usize,
}

/// Whether servers can be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerState {
    /// The first connection is being made.
    #[default]
    Connecting,
    /// All can be used.
    Up,
    /// Some nodes or slots of a cluster can be used.
    Partly,
    /// None can be used.
    Away,
}

/// How the way to one server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerHealth {
    /// Host and port, where they are known.
    pub server: Option<String>,
    /// Whether it can be used.
    pub state: ServerState,
    /// Milliseconds for which it has been so.
    pub since_ms: u64,
    /// Why it cannot.
    pub reason: Option<String>,
}

impl Health {
    /// What the servers are like; the counts of the process are left for others to fill in.
    pub(crate) fn of(route: &Route) -> Self {
        let (kind, servers) = match route {
            Route::One(lane) if lane.is_led() => ("sentinel", vec![server(lane)]),
            Route::One(lane) => ("single", vec![server(lane)]),
            Route::Cluster(cluster) => match &*cluster.known().borrow() {
                Known::Nothing(since) => ("cluster", vec![lone(None, ServerState::Connecting, *since, None)]),
                Known::Away(away) => ("cluster", vec![lone(None, ServerState::Away, away.since, Some(&away.reason))]),
                Known::Map(map) => ("cluster", map.nodes().map(|node| server(&node.lane)).collect()),
            },
        };
        let limbo = match route {
            Route::Cluster(cluster) => cluster.limbo(),
            Route::One(_) => None,
        };
        let state = match together(&servers) {
            ServerState::Up if limbo.is_some() => ServerState::Partly,
            state => state,
        };
        // Trouble is as old as its oldest part, health as young as its youngest.
        let ages = servers.iter().filter(|server| (server.state == ServerState::Up) == (state == ServerState::Up));
        let ages = ages.map(|server| server.since_ms);
        let since_ms = if state == ServerState::Up { ages.min() } else { ages.max() };
        let reason = servers.iter().find_map(|server| server.reason.clone());
        let reason = reason.or_else(|| limbo.map(|reason| reason.to_string()));
        Self { kind, state, since_ms: since_ms.unwrap_or(0), reason, servers, ..Self::default() }
    }
}

/// What several servers are like as one.
fn together(servers: &[ServerHealth]) -> ServerState {
    let are = |state| servers.iter().filter(|server| server.state == state).count();
    match (are(ServerState::Up), are(ServerState::Away)) {
        (up, _) if up == servers.len() => ServerState::Up,
        (0, 0) => ServerState::Connecting,
        (0, _) => ServerState::Away,
        _ => ServerState::Partly,
    }
}

fn server(lane: &Lane) -> ServerHealth {
    match &*lane.state().borrow() {
        State::New(since) => lone(lane.place(), ServerState::Connecting, *since, None),
        State::Away(away) => lone(lane.place(), ServerState::Away, away.since, Some(&away.reason)),
        State::Up(up) => lone(Some(up.address.place()), ServerState::Up, up.since, None),
    }
}

fn lone(server: Option<String>, state: ServerState, since: Instant, reason: Option<&str>) -> ServerHealth {
    ServerHealth { server, state, since_ms: millis(since.elapsed()), reason: reason.map(str::to_owned) }
}
