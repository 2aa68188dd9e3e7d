//! One connection to one server.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, Pipeline, ProtocolVersion, PushInfo, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use crate::address::Address;
use crate::fault::{self, Fault};

/// Commands that wait to be written before callers wait in turn.
const WRITING: usize = 1_024;

/// A part of every deadline that counts from when it was looked at: where this process itself stood still, the answer
/// may be there and want no more than to be read.
const GRACE: Duration = Duration::from_millis(1);

/// The bounds of [`attempt_within`].
const ATTEMPT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(2);

/// How long an attempt to connect may take, where an answer may take `patience`: connecting, logging in and asking are
/// some five round trips. One that takes longer is begun anew, since a packet that was lost is sent again only after a
/// second.
pub fn attempt_within(patience: Duration) -> Duration {
    (5 * patience).clamp(*ATTEMPT.start(), *ATTEMPT.end())
}

/// A connection that many callers share; it does not mend itself.
#[derive(Clone)]
pub struct Link(MultiplexedConnection);

impl Link {
    /// Connects, logs in, and chooses the database.
    pub async fn open(address: &Address, deadline: Instant) -> Result<Self, String> {
        Self::dial(address, ProtocolVersion::RESP2, config(), deadline).await
    }

    /// A connection whose messages go to `ears`.
    pub async fn listen(
        address: &Address,
        ears: mpsc::UnboundedSender<PushInfo>,
        deadline: Instant,
    ) -> Result<Self, String> {
        Self::dial(address, ProtocolVersion::RESP3, config().set_push_sender(ears), deadline).await
    }

    async fn dial(
        address: &Address,
        protocol: ProtocolVersion,
        config: AsyncConnectionConfig,
        deadline: Instant,
    ) -> Result<Self, String> {
        let client = address.client(protocol).map_err(|error| fault::text(&error))?;
        let dialled = timeout_at(deadline, client.get_multiplexed_async_connection_with_config(&config)).await;
        match dialled {
            Ok(Ok(connection)) => Ok(Self(connection)),
            Ok(Err(error)) => Err(fault::text(&error)),
            Err(_) => Err("the connection was not made in time".to_owned()),
        }
    }

    /// Sends commands in one go and once; the first answer that is an error is the error of all.
    ///
    /// A cluster's node that is about to take over a key wants each command about it announced (`asking`).
    pub async fn ask(&self, commands: &[Cmd], asking: bool, deadline: Instant) -> Result<Vec<Value>, Fault> {
        let mut batch = Pipeline::with_capacity(commands.len());
        for command in commands {
            if asking {
                batch.cmd("ASKING");
            }
            batch.add_command(command.clone());
        }
        let mut connection = self.0.clone();
        let started = Instant::now();
        let mut asked = connection.req_packed_commands(&batch, 0, batch.len());
        let answers = match timeout_at(deadline - GRACE, &mut asked).await {
            Ok(answers) => answers,
            Err(_) => timeout(GRACE, asked).await.map_err(|_| Fault::Away(late(deadline - started)))?,
        };
        let answers = answers.map_err(|error| Fault::of(&error))?.into_iter();
        let answers = answers.skip(usize::from(asking)).step_by(1 + usize::from(asking));
        answers.map(|answer| answer.extract_error().map_err(|error| Fault::of(&error))).collect()
    }

    /// Begins and ends to hear channels; when it is done, what is told from then on is heard.
    pub async fn hear(&self, new: &BTreeSet<String>, left: &BTreeSet<String>, deadline: Instant) -> Result<(), Fault> {
        let mut connection = self.0.clone();
        let changed = async {
            if !left.is_empty() {
                connection.unsubscribe(left).await?;
            }
            if !new.is_empty() {
                connection.subscribe(new).await?;
            }
            Ok(())
        };
        match timeout_at(deadline, changed).await {
            Ok(done) => done.map_err(|error: redis::RedisError| Fault::of(&error)),
            Err(_) => Err(Fault::Away("no answer to a subscription".to_owned())),
        }
    }
}

fn config() -> AsyncConnectionConfig {
    // Whoever asks has a deadline of its own.
    AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WRITING)
}

/// What is said of a server that let a deadline pass.
fn late(waited: Duration) -> String {
    format!("no answer within {} ms", waited.as_millis())
}
