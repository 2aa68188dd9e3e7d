//! One connection to one server.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, PushInfo, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::Address;
use crate::node_error::{NodeError, error_text};

/// The maximum number of commands in the write queue. If it is full, callers wait.
const WRITE_QUEUE_SIZE: usize = 1_024;

/// The last part of the time that a request may take. It starts only when the task runs again after the other part has
/// passed. If the process was not scheduled in that time, the reply may have arrived already and only needs to be read.
const READ_GRACE: Duration = Duration::from_millis(1);

/// The minimum and the maximum of [`connect_timeout`].
const CONNECT_TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(2);

/// Returns how long an attempt to connect may take if a reply may take `reply_timeout`.
///
/// Connecting, logging in and probing need about five round trips. A slower attempt is abandoned and a new one is
/// started, because a lost packet is retransmitted only after a second.
pub fn connect_timeout(reply_timeout: Duration) -> Duration {
    (5 * reply_timeout).clamp(*CONNECT_TIMEOUT.start(), *CONNECT_TIMEOUT.end())
}

/// A connection that many callers share; it does not reconnect by itself.
#[derive(Clone)]
pub struct Connection(MultiplexedConnection);

impl Connection {
    /// Connects, logs in and selects the database.
    pub async fn open(address: &Address, deadline: Instant) -> Result<Self, String> {
        Self::connect(address, ProtocolVersion::RESP2, connection_config(), deadline).await
    }

    /// Opens a connection that forwards published messages to `messages`.
    pub async fn open_with_messages(
        address: &Address,
        messages: mpsc::UnboundedSender<PushInfo>,
        deadline: Instant,
    ) -> Result<Self, String> {
        let config = connection_config().set_push_sender(messages);
        Self::connect(address, ProtocolVersion::RESP3, config, deadline).await
    }

    async fn connect(
        address: &Address,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
        deadline: Instant,
    ) -> Result<Self, String> {
        let client = address.client(protocol).map_err(|error| error_text(&error))?;
        let connected = timeout_at(deadline, client.get_multiplexed_async_connection_with_config(&config)).await;
        match connected {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(error_text(&error)),
            Err(_) => Err("connection timed out".to_owned()),
        }
    }

    /// Sends commands once, in one pipeline. If replies are errors, it returns the first of them.
    ///
    /// If `asking` is set, `ASKING` is sent before each command; a cluster node that is importing a slot requires it.
    pub async fn send(&self, commands: &[Cmd], asking: bool, deadline: Instant) -> Result<Vec<Value>, NodeError> {
        let mut pipeline = Pipeline::with_capacity(commands.len());
        for command in commands {
            if asking {
                pipeline.cmd("ASKING");
            }
            pipeline.add_command(command.clone());
        }
        let mut connection = self.0.clone();
        let started_at = Instant::now();
        let mut request = connection.req_packed_commands(&pipeline, 0, pipeline.len());
        let replies = match timeout_at(deadline - READ_GRACE, &mut request).await {
            Ok(replies) => replies,
            Err(_) => timeout(READ_GRACE, request).await.map_err(|_| no_reply(deadline - started_at))?,
        };
        let replies = replies.map_err(|error| NodeError::classify(&error))?.into_iter();
        let replies = replies.skip(usize::from(asking)).step_by(1 + usize::from(asking));
        replies.map(|reply| reply.extract_error().map_err(|error| NodeError::classify(&error))).collect()
    }

    /// Subscribes to the channels `added` and unsubscribes from `removed`.
    ///
    /// When it returns, messages on the added channels are received.
    pub async fn change_subscriptions(
        &self,
        added: &BTreeSet<String>,
        removed: &BTreeSet<String>,
        deadline: Instant,
    ) -> Result<(), NodeError> {
        let mut connection = self.0.clone();
        let change = async {
            if !removed.is_empty() {
                connection.unsubscribe(removed).await?;
            }
            if !added.is_empty() {
                connection.subscribe(added).await?;
            }
            Ok(())
        };
        match timeout_at(deadline, change).await {
            Ok(result) => result.map_err(|error: redis::RedisError| NodeError::classify(&error)),
            Err(_) => Err(NodeError::Unavailable("no reply to a subscription request".to_owned())),
        }
    }
}

fn connection_config() -> AsyncConnectionConfig {
    // Each request has a deadline of its own.
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WRITE_QUEUE_SIZE)
}

/// Returns the error for a server that missed a deadline.
fn no_reply(waited: Duration) -> NodeError {
    NodeError::Unavailable(format!("no reply within {} ms", waited.as_millis()))
}
