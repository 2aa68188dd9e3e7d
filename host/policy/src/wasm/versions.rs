//! The versions of the contract that load, and how a component is assigned to one.

use tidegate_core::{Failure, Request, Snapshot};
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Result};

use super::contract::{Bind, ContractVersion, PolicyInput, World};
use super::state::GuestState;
use super::{v0_1, v0_2, v0_3};

/// The versions of the contract, newest first.
static VERSIONS: [ContractVersion; 3] = [v0_3::VERSION, v0_2::VERSION, v0_1::VERSION];
/// The worlds of the newest version.
const WORLDS: [World; 3] = [Failure::WORLD, Snapshot::WORLD, Request::WORLD];
/// The prefix of every name of the contract.
const PACKAGE: &str = "tidegate:policy/";

/// What the imports and exports of a component say.
pub struct Contract<I: PolicyInput> {
    /// The version that the component is built for.
    pub version: &'static str,
    /// Whether the guest has settings.
    pub has_settings: bool,
    /// Finds the exports of the component.
    pub bind: Bind<I>,
    /// What the host provides to the guest.
    pub needs: HostNeeds,
}

/// What a guest reads besides its input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostNeeds {
    /// Metrics or limits.
    pub view: bool,
    /// The body of the platform's response.
    pub body: bool,
}

/// Returns a linker with the host functions of every version.
///
/// # Errors
/// Returns an error if two functions have the same name.
pub fn linker(engine: &Engine) -> Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    for version in &VERSIONS {
        (version.link)(&mut linker)?;
    }
    Ok(linker)
}

/// Finds the version of the contract that a component is built for.
///
/// # Errors
/// Returns a message with the actual and the expected world if the component does not belong to this world.
pub fn contract<I: PolicyInput>(engine: &Engine, component: &Component) -> std::result::Result<Contract<I>, String> {
    let ty = component.component_type();
    let mut version: Option<&ContractVersion> = None;
    let mut needs = HostNeeds::default();
    for (name, _) in ty.imports(engine) {
        let (interface, imported) = import::<I>(name)?;
        if let Some(other) = version.filter(|other| other.name != imported.name) {
            let versions = format!("{} and {}", other.name, imported.name);
            let expected = description::<I>();
            return Err(format!("expected {expected}; this one imports two versions of the contract, {versions}"));
        }
        version = Some(imported);
        needs.view |= interface == "metrics" || interface == "limits";
        needs.body |= interface == "response";
    }
    if needs.body && !I::WORLD.has_response {
        return Err("the component imports `response`, which only a retry policy can read".to_owned());
    }
    let [newest, ..] = &VERSIONS;
    let version = version.unwrap_or(newest);
    let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name).collect();
    let has = |name: &str| exports.contains(&name);
    match I::bind(version) {
        Some(bind) if has(I::WORLD.export) && has("configure") == version.has_settings => {
            Ok(Contract { version: version.name, has_settings: version.has_settings, bind, needs })
        }
        _ => Err(format!("expected {}; this one {}", description::<I>(), describe_exports(&exports))),
    }
}

/// Returns the interface and the version of an import.
fn import<I: PolicyInput>(name: &str) -> std::result::Result<(&str, &'static ContractVersion), String> {
    let expected = description::<I>();
    let Some(rest) = name.strip_prefix(PACKAGE) else {
        let allowed = "a policy may import only `log`, `metrics`, `limits` and (a retry policy) `response` of the \
                       contract, and no WASI interface";
        return Err(format!("expected {expected}; this one imports `{name}`: {allowed}"));
    };
    let (interface, version) =
        rest.rsplit_once('@').map_or((rest, None), |(interface, version)| (interface, Some(version)));
    let known = VERSIONS.iter().find(|known| Some(known.name) == version);
    let known = known.ok_or_else(|| {
        let actual = version.map_or("no version".to_owned(), |version| format!("version {version}"));
        let supported = VERSIONS.each_ref().map(|version| version.name).join(" or ");
        format!("expected {expected}; this one is built for {actual} of the contract, not {supported}")
    })?;
    Ok((interface, known))
}

/// Returns the error for a component whose imports the host does not provide.
pub fn import_error<I: PolicyInput>(error: &wasmtime::Error) -> String {
    format!("expected {}; this one has imports that the host does not provide: {error:#}", description::<I>())
}

/// Returns the error for a component whose exports have the wrong types.
pub fn export_type_error<I: PolicyInput>(error: &wasmtime::Error) -> String {
    format!("expected {}; this one exports them with other types: {error:#}", description::<I>())
}

fn description<I: PolicyInput>() -> String {
    let ([newest, ..], World { name, export, .. }) = (&VERSIONS, I::WORLD);
    format!("a component of the world {PACKAGE}{name}@{}, which exports `configure` and `{export}`", newest.name)
}

/// Describes a component by its exports.
fn describe_exports(exports: &[&str]) -> String {
    let world = WORLDS.into_iter().find(|world| exports.contains(&world.export));
    match (world, exports) {
        (Some(world), _) => format!("is of the world `{}`", world.name),
        (None, []) => "exports nothing".to_owned(),
        (None, names) => {
            format!("exports {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
    }
}
