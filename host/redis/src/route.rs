//! Which server a key is on.

use crate::address::Address;
use crate::fault::Fault;
use crate::lane::{Lane, State};
use redis::{Cmd, Value};
use tokio::time::Instant;

/// The servers behind the addresses.
pub enum Route {
    /// One server has every key.
    One(Lane),
}

impl Route {
    /// Asks the server that has the key.
    pub async fn ask(&self, _key: &str, commands: &[Cmd], deadline: Instant) -> Result<Vec<Value>, Fault> {
        match self {
            Self::One(lane) => lane.ask(commands, false, deadline).await,
        }
    }

    /// Ends once the server that has the key can be used.
    pub async fn back(&self, _key: &str) {
        match self {
            Self::One(lane) => drop(lane.state().wait_for(|state| matches!(state, State::Up(_))).await),
        }
    }

    /// A server that hears what is published anywhere; waits until there is one.
    pub async fn listening_post(&self) -> Address {
        match self {
            Self::One(lane) => {
                let mut state = lane.state();
                loop {
                    if let State::Up(up) = &*state.borrow_and_update() {
                        return up.address.clone();
                    }
                    // The lane is there as long as the route.
                    let _ = state.changed().await;
                }
            }
        }
    }

    /// Ends once that server is not the one to listen at any more.
    pub async fn post_left(&self, post: &Address) {
        match self {
            Self::One(lane) => {
                let elsewhere = |state: &State| matches!(state, State::Up(up) if up.address.place() != post.place());
                drop(lane.state().wait_for(elsewhere).await);
            }
        }
    }
}
