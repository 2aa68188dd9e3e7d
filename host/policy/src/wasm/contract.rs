//! What the worlds of the contract with guests have in common, and what a version of the contract provides.
//!
//! A world is identified by the input of its policies: `Failure` for `retry`, `Snapshot` for `alert`, and `Request` for
//! `admit`.

use tidegate_core::config::Settings;
use tidegate_core::{Failure, Fault, Request, Snapshot};
use wasmtime::component::{InstancePre, Linker};
use wasmtime::{Result, Store};

use super::state::GuestState;

/// The names of a world.
pub struct World {
    /// The name in the contract.
    pub name: &'static str,
    /// The function that returns a verdict.
    pub export: &'static str,
    /// What the input is called in errors.
    pub input: &'static str,
    /// Whether a guest may read the platform's response.
    pub has_response: bool,
}

/// The input of the policies of one world.
pub trait PolicyInput: Sized + Send + Sync + 'static {
    /// The verdict of these policies.
    type Verdict;

    /// The names of the world.
    const WORLD: World;

    /// Returns a typical input, on which a policy is tried before it becomes active.
    fn sample() -> Self;

    /// Returns the platform and the endpoint whose metrics a policy reads.
    fn scope(&self) -> (&str, Option<&str>);

    /// Returns the body of the platform's response, if this input has one.
    fn body(&self) -> Option<&str> {
        None
    }

    /// Returns the verdict if it is valid.
    ///
    /// # Errors
    /// Returns a fault if the verdict is not valid.
    fn validate(verdict: Self::Verdict) -> std::result::Result<Self::Verdict, Fault>;

    /// Returns what binds the components of this world, if the version has the world.
    fn bind(version: &ContractVersion) -> Option<Bind<Self>>;
}

/// An instance of a policy.
pub trait Guest<I: PolicyInput>: Send + Sync {
    /// Passes the settings to the guest. Returns the message with which it rejects them, if it does.
    ///
    /// # Errors
    /// Returns an error if the guest fails.
    fn configure(&self, store: &mut Store<GuestState>, settings: &Settings) -> Result<std::result::Result<(), String>>;

    /// Returns the guest's verdict.
    ///
    /// # Errors
    /// Returns an error if the guest fails.
    fn decide(&self, store: &mut Store<GuestState>, input: &I) -> Result<I::Verdict>;
}

/// Creates an instance in a store.
pub type Instantiate<I> = Box<dyn Fn(&mut Store<GuestState>) -> Result<Box<dyn Guest<I>>> + Send + Sync>;

/// Finds the exports of a component.
pub type Bind<I> = fn(InstancePre<GuestState>) -> Result<Instantiate<I>>;

/// A version of the contract.
pub struct ContractVersion {
    /// The version, as in the names of imports.
    pub name: &'static str,
    /// Whether guests export `configure`, and so have settings.
    pub has_settings: bool,
    /// The world of retry policies.
    pub retry: Option<Bind<Failure>>,
    /// The world of alert conditions.
    pub alert: Option<Bind<Snapshot>>,
    /// The world of admission policies.
    pub admit: Option<Bind<Request>>,
    /// Adds the host functions of this version to a linker.
    pub link: fn(&mut Linker<GuestState>) -> Result<()>,
}

/// Returns a [`Bind`] for the generated type of a world.
macro_rules! bind {
    ($pre:path) => {
        Some(|component| {
            let pre = <$pre>::new(component)?;
            Ok(Box::new(move |store: &mut wasmtime::Store<GuestState>| Ok(Box::new(pre.instantiate(store)?) as _)))
        })
    };
}
pub(super) use bind;
