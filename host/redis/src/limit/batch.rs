//! Batches the operations on one bucket: operations that are requested during a round trip share the next round trip.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tidegate_core::store::ReservationParts;
use tidegate_core::{Quota, StoreError};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::LimitInner;
use super::reply::{self, BatchReply, BucketState, OpOutcome, OpReply};

/// The maximum number of operations in a batch; a script with that many runs for well under a millisecond.
const MAX_BATCH_SIZE: usize = 128;

/// One operation of the limit script.
pub enum LimitOp {
    Reserve { ticket: String, cost: u64, within_us: u64 },
    RemainingWait { ticket: String },
    CancelWait { ticket: String },
    Status,
    Debit { cost: u64 },
    Update { quota: String },
    Reset,
    Cancel { ticket: String, parts: ReservationParts },
}

impl LimitOp {
    /// Returns the operation that undoes a granted reservation. It cancels the wait if the call has to wait, else the
    /// reservation. Returns `None` for other operations and results.
    fn inverse(&self, bucket: &BucketState, reply: &OpReply) -> Option<Self> {
        let (Self::Reserve { ticket, cost, .. }, OpOutcome::Done { wait, .. }) = (self, reply.outcome) else {
            return None;
        };
        Some(if wait.is_zero() {
            Self::Cancel { ticket: ticket.clone(), parts: reply.reservation_parts(bucket, *cost) }
        } else {
            Self::CancelWait { ticket: format!("{ticket}:{cost}") }
        })
    }

    /// Appends the name and the arguments of the operation to the arguments of the script.
    fn encode(&self, args: &mut Vec<Vec<u8>>) {
        let (name, op_args): (&str, Vec<String>) = match self {
            Self::Reserve { ticket, cost, within_us } => {
                ("reserve", vec![ticket.clone(), cost.to_string(), within_us.to_string()])
            }
            Self::RemainingWait { ticket } => ("remaining_wait", vec![ticket.clone()]),
            Self::CancelWait { ticket } => ("cancel_wait", vec![ticket.clone()]),
            Self::Status => ("status", vec![]),
            Self::Debit { cost } => ("debit", vec![cost.to_string()]),
            Self::Update { quota } => ("update", vec![quota.clone()]),
            Self::Reset => ("reset", vec![]),
            Self::Cancel { ticket, parts } => {
                let ReservationParts { cost, at, level, returned, epoch, .. } = parts;
                let numbers = [cost.to_string(), at.as_micros().to_string(), level.to_string(), returned.to_string()];
                let op_args = std::iter::once(ticket.clone()).chain(numbers).chain([epoch.to_string()]);
                ("cancel", op_args.collect())
            }
        };
        args.push(name.into());
        args.extend(op_args.into_iter().map(String::into_bytes));
    }
}

/// The reply to one operation, or why there is none.
pub type OpResult = Result<UnclaimedReply, StoreError>;

/// A reply that its caller has not received yet. If it is dropped unclaimed, a granted reservation is cancelled.
pub struct UnclaimedReply {
    bucket: BucketState,
    reply: OpReply,
    guard: CancelGuard,
}

impl UnclaimedReply {
    /// Returns the reply to the caller, so that dropping it no longer cancels a reservation.
    pub fn claim(mut self) -> (BucketState, OpReply) {
        self.guard.inverse = None;
        (self.bucket, self.reply)
    }
}

/// Undoes an operation when it is dropped, unless `inverse` was removed.
struct CancelGuard {
    limit: Arc<LimitInner>,
    inverse: Option<LimitOp>,
}

impl Drop for CancelGuard {
    fn drop(&mut self) {
        if let Some(op) = self.inverse.take() {
            drop(self.limit.enqueue(op));
        }
    }
}

/// An operation that waits for its batch, and the channel to its caller.
struct PendingOp {
    op: LimitOp,
    reply_to: oneshot::Sender<OpResult>,
}

/// The contents of a batch besides the operations of callers.
pub struct BatchHeader {
    /// The arguments of the script between the batch's number and the operations.
    pub args: Vec<Vec<u8>>,
    /// The tokens to debit for calls that the local share granted while Redis was unavailable.
    pub debt: u64,
    /// The configured quota, if this process has not announced it to Redis yet.
    pub announced_quota: Option<Quota>,
}

/// Collects the operations for the next batch.
#[derive(Default)]
pub struct Batcher {
    queue: Mutex<BatchQueue>,
    /// The number of the last batch.
    number: AtomicU64,
}

#[derive(Default)]
struct BatchQueue {
    pending: Vec<PendingOp>,
    /// Whether a task is sending batches.
    in_flight: bool,
}

impl Batcher {
    /// Takes the operations of the next batch out of the queue; if there are none, the task must end.
    fn next_batch(&self) -> Option<Vec<PendingOp>> {
        let mut queue = self.queue.lock();
        if queue.pending.is_empty() {
            queue.in_flight = false;
            return None;
        }
        let size = queue.pending.len().min(MAX_BATCH_SIZE);
        Some(queue.pending.drain(..size).collect())
    }
}

/// Resets the queue if the sending task panics: the waiting callers get an error, and the next operation starts a new
/// task.
struct InFlightGuard<'a> {
    batcher: &'a Batcher,
    finished: bool,
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let mut queue = self.batcher.queue.lock();
            queue.in_flight = false;
            queue.pending.clear();
        }
    }
}

impl LimitInner {
    /// Adds an operation to the next batch; the caller may drop the receiver.
    pub fn enqueue(self: &Arc<Self>, op: LimitOp) -> oneshot::Receiver<OpResult> {
        let (reply_to, reply) = oneshot::channel();
        let mut queue = self.batcher.queue.lock();
        queue.pending.push(PendingOp { op, reply_to });
        if !std::mem::replace(&mut queue.in_flight, true) {
            // Batches are sent in a separate task, so that a cancelled caller does not cancel the requests of others.
            self.redis.runtime().spawn(Arc::clone(self).send_batches());
        }
        reply
    }

    /// Sends batches until the queue is empty.
    async fn send_batches(self: Arc<Self>) {
        let mut guard = InFlightGuard { batcher: &self.batcher, finished: false };
        while let Some(batch) = self.batcher.next_batch() {
            let header = self.batch_header();
            let number = self.batcher.number.fetch_add(1, Ordering::Relaxed) + 1;
            let mut args = vec![number.to_string().into_bytes()];
            args.extend_from_slice(&header.args);
            let debit = (header.debt > 0).then_some(LimitOp::Debit { cost: header.debt });
            debit.iter().chain(batch.iter().map(|pending| &pending.op)).for_each(|op| op.encode(&mut args));
            match self.send_batch(&args).await {
                Ok(BatchReply { bucket, replies }) => {
                    self.handle_reply(&header, &bucket);
                    let replies = replies.into_iter().skip(usize::from(debit.is_some()));
                    for (pending, reply) in batch.into_iter().zip(replies) {
                        let inverse = pending.op.inverse(&bucket, &reply);
                        let guard = CancelGuard { limit: Arc::clone(&self), inverse };
                        let unclaimed = UnclaimedReply { bucket: bucket.clone(), reply, guard };
                        // If the caller was cancelled, the reply is dropped here or together with the channel.
                        drop(pending.reply_to.send(Ok(unclaimed)));
                    }
                }
                Err(error) => batch.into_iter().for_each(|pending| drop(pending.reply_to.send(Err(error.clone())))),
            }
        }
        guard.finished = true;
    }

    /// Sends a batch, and sends it again if its reply was lost and time is left. A repeated batch counts once, because
    /// it has the same number.
    ///
    /// It does not wait for a server that is known to be unavailable.
    async fn send_batch(&self, args: &[Vec<u8>]) -> Result<BatchReply, StoreError> {
        let deadline = Instant::now() + self.redis.decide_within();
        let mut retry = self.redis.unavailable_reason(&self.keys[0]).is_none();
        loop {
            match self.redis.run(&tidegate_lua::LIMIT, &self.keys, args).await {
                Ok(reply) => return reply::parse(&reply),
                Err(error) if error.is_unavailable() && retry => {
                    retry = timeout_at(deadline, self.redis.wait_until_available(&self.keys[0])).await.is_ok();
                    if !retry || Instant::now() >= deadline {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}
