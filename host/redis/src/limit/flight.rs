//! Operations on one bucket, many a round trip: what callers ask while a flight is in the air goes with the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tidegate_core::{Receipt, StoreError};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Shared;
use super::reply::{self, Answer, Answered, Head, Reply};

/// The most operations of one flight: a script of so many runs for well under a millisecond.
const MOST: usize = 128;

/// One operation as the script reads it.
pub enum Op {
    Reserve { ticket: String, cost: u64, within_us: u64 },
    Look { ticket: String },
    Cancel { ticket: String },
    Status,
    Debit { cost: u64 },
    Update { quota: String },
    Reset,
    GiveBack { ticket: String, receipt: Receipt },
}

impl Op {
    /// What undoes it, once it was answered so: a slot that has not come is left, one that has is given back.
    fn undone_by(&self, head: &Head, answer: &Answer) -> Option<Self> {
        let (Self::Reserve { ticket, cost, .. }, Answered::Done { wait, .. }) = (self, answer.answered) else {
            return None;
        };
        Some(if wait.is_zero() {
            Self::GiveBack { ticket: ticket.clone(), receipt: answer.receipt(head, *cost) }
        } else {
            Self::Cancel { ticket: format!("{ticket}:{cost}") }
        })
    }

    fn arguments(&self, into: &mut Vec<Vec<u8>>) {
        let (name, arguments): (&str, Vec<String>) = match self {
            Self::Reserve { ticket, cost, within_us } => {
                ("reserve", vec![ticket.clone(), cost.to_string(), within_us.to_string()])
            }
            Self::Look { ticket } => ("look", vec![ticket.clone()]),
            Self::Cancel { ticket } => ("cancel", vec![ticket.clone()]),
            Self::Status => ("status", vec![]),
            Self::Debit { cost } => ("debit", vec![cost.to_string()]),
            Self::Update { quota } => ("update", vec![quota.clone()]),
            Self::Reset => ("reset", vec![]),
            Self::GiveBack { ticket, receipt } => {
                let Receipt { cost, at, level, returned, epoch, .. } = receipt;
                let numbers = [cost.to_string(), at.as_micros().to_string(), level.to_string(), returned.to_string()];
                let told = std::iter::once(ticket.clone()).chain(numbers).chain([epoch.to_string()]);
                ("give_back", told.collect())
            }
        };
        into.push(name.into());
        into.extend(arguments.into_iter().map(String::into_bytes));
    }
}

/// What the bucket said of one operation, and of itself.
pub type Landed = Result<Landing, StoreError>;

/// An answer on its way to its caller.
pub struct Landing {
    pub head: Head,
    pub answer: Answer,
    unclaimed: Unclaimed,
}

impl Landing {
    /// The answer, in the hands of its caller.
    pub fn claim(mut self) -> (Head, Answer) {
        self.unclaimed.back = None;
        (self.head, self.answer)
    }
}

/// What a reservation took, until its caller has it; where the caller went away meanwhile, it goes back.
struct Unclaimed {
    shared: Arc<Shared>,
    back: Option<Op>,
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(op) = self.back.take() {
            drop(self.shared.board(op));
        }
    }
}

/// An operation and who waits for its answer.
struct Seat {
    op: Op,
    answer: oneshot::Sender<Landed>,
}

/// What a flight carries beside the operations of callers.
pub struct Luggage {
    /// The arguments after the flight's number and before the operations.
    pub arguments: Vec<Vec<u8>>,
    /// Tokens to be debited for what was let go while Redis was away.
    pub debt: u64,
    /// The configured quota, where Redis has still to hear of it.
    pub news: Option<tidegate_core::Quota>,
}

/// Those who wait for the next flight.
#[derive(Default)]
pub struct Gate {
    queue: Mutex<Queue>,
    number: AtomicU64,
}

#[derive(Default)]
struct Queue {
    seats: Vec<Seat>,
    flying: bool,
}

impl Gate {
    fn next(&self) -> Option<Vec<Seat>> {
        let mut queue = self.queue.lock();
        if queue.seats.is_empty() {
            queue.flying = false;
            return None;
        }
        let most = queue.seats.len().min(MOST);
        Some(queue.seats.drain(..most).collect())
    }
}

/// Opens the gate again should a flight end in a panic: those who wait are told, and the next caller flies anew.
struct Crew<'a> {
    gate: &'a Gate,
    landed: bool,
}

impl Drop for Crew<'_> {
    fn drop(&mut self) {
        if !self.landed {
            let mut queue = self.gate.queue.lock();
            queue.flying = false;
            queue.seats.clear();
        }
    }
}

impl Shared {
    /// Takes an operation along with the next flight; the answer may be dropped.
    pub fn board(self: &Arc<Self>, op: Op) -> oneshot::Receiver<Landed> {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.gate.queue.lock();
        queue.seats.push(Seat { op, answer });
        if !std::mem::replace(&mut queue.flying, true) {
            // A task of its own: a caller that goes away must not take the others' answers with it.
            self.redis.runtime().spawn(Arc::clone(self).fly());
        }
        answered
    }

    /// Flies until nobody waits.
    async fn fly(self: Arc<Self>) {
        let mut crew = Crew { gate: &self.gate, landed: false };
        while let Some(seats) = self.gate.next() {
            let luggage = self.luggage();
            let mut arguments = vec![(self.gate.number.fetch_add(1, Ordering::Relaxed) + 1).to_string().into_bytes()];
            arguments.extend_from_slice(&luggage.arguments);
            let debit = (luggage.debt > 0).then_some(Op::Debit { cost: luggage.debt });
            debit.iter().chain(seats.iter().map(|seat| &seat.op)).for_each(|op| op.arguments(&mut arguments));
            match self.send(&arguments).await {
                Ok(reply) => {
                    self.landed(&luggage, &reply.head);
                    let answers = reply.answers.into_iter().skip(usize::from(debit.is_some()));
                    for (seat, answer) in seats.into_iter().zip(answers) {
                        let back = seat.op.undone_by(&reply.head, &answer);
                        let unclaimed = Unclaimed { shared: Arc::clone(&self), back };
                        // Where the caller is gone the landing is dropped here, or with the channel.
                        drop(seat.answer.send(Ok(Landing { head: reply.head.clone(), answer, unclaimed })));
                    }
                }
                Err(error) => seats.into_iter().for_each(|seat| drop(seat.answer.send(Err(error.clone())))),
            }
        }
        crew.landed = true;
    }

    /// Sends a flight, and the same again where its reply was lost on the way and there is time: its number makes it
    /// count once. A server that is known to be away is not waited for.
    async fn send(&self, arguments: &[Vec<u8>]) -> Result<Reply, StoreError> {
        let deadline = Instant::now() + self.redis.decide_within();
        let mut open = self.redis.away(&self.keys[0]).is_none();
        loop {
            match self.redis.run(&tidegate_lua::LIMIT, &self.keys, arguments).await {
                Ok(value) => return reply::read(&value),
                Err(error) if error.is_away() && open => {
                    open = timeout_at(deadline, self.redis.back(&self.keys[0])).await.is_ok();
                    if !open || Instant::now() >= deadline {
                        return Err(error);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}
