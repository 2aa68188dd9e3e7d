//! Whether a component is of the world and of a version that a policy of its kind needs.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The version of the contract that is built now.
const CURRENT: &str = "0.2.0";
/// The versions whose guests load.
const KNOWN: [&str; 2] = [CURRENT, "0.1.0"];
/// What every name of the contract begins with.
const PACKAGE: &str = "tidegate:policy/";

/// What one kind of policy exports.
pub struct World {
    name: &'static str,
    export: &'static str,
    /// Whether contract 0.1.0 had it.
    old: bool,
}

/// Retry classifiers.
pub const RETRY: World = World { name: "retry", export: "classify", old: true };
/// Alert conditions.
pub const ALERT: World = World { name: "alert", export: "evaluate", old: true };
/// Admission policies.
pub const ADMIT: World = World { name: "admit", export: "admit", old: false };

/// The version of the contract that a component was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// The one that is built now.
    Current,
    /// The first, without settings.
    V0_1,
}

impl World {
    /// The version of the component.
    ///
    /// # Errors
    /// One sentence that says what it is and what was expected.
    pub fn version(&self, engine: &Engine, component: &Component) -> Result<Version, String> {
        let ty = component.component_type();
        for (name, _) in ty.imports(engine) {
            self.import(name)?;
        }
        let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name).collect();
        let has = |name: &str| exports.contains(&name);
        match (has(self.export), has("configure")) {
            (true, true) => Ok(Version::Current),
            (true, false) if self.old => Ok(Version::V0_1),
            _ => Err(format!("expected {}; this one {}", self.title(), described(&exports))),
        }
    }

    /// Whether the component asks for metrics or limits.
    pub fn looks(&self, engine: &Engine, component: &Component) -> bool {
        let ty = component.component_type();
        let asks = |name: &str| name.contains("/metrics@") || name.contains("/limits@");
        ty.imports(engine).any(|(name, _)| asks(name))
    }

    fn import(&self, name: &str) -> Result<(), String> {
        let Some(rest) = name.strip_prefix(PACKAGE) else {
            let gets = "a policy gets log, metrics and limits of the contract and nothing else, no WASI either";
            return Err(format!("expected {}; this one asks the host for `{name}`: {gets}", self.title()));
        };
        match rest.rsplit_once('@') {
            Some((_, version)) if KNOWN.contains(&version) => Ok(()),
            version => {
                let found = version.map_or("no version", |(_, version)| version);
                let known = KNOWN.join(" or ");
                Err(format!("expected {}; this one is built for {found} of the contract, not {known}", self.title()))
            }
        }
    }

    fn title(&self) -> String {
        format!(
            "a component of the world {PACKAGE}{}@{CURRENT}, which exports `configure` and `{}`",
            self.name, self.export
        )
    }

    /// The refusal of a component that wants what the host does not have.
    pub fn unlinkable(&self, error: &wasmtime::Error) -> String {
        format!("expected {}, and gets nothing else from the host: {error:#}", self.title())
    }

    /// The refusal of a component whose exports have other types.
    pub fn mistyped(&self, error: &wasmtime::Error) -> String {
        format!("expected {}; this one's have other types: {error:#}", self.title())
    }
}

/// What a component is, by its exports.
fn described(exports: &[&str]) -> String {
    let of = [RETRY, ALERT, ADMIT].into_iter().find(|world| exports.contains(&world.export));
    match (of, exports) {
        (Some(world), _) => format!("is of the world `{}`", world.name),
        (None, []) => "exports nothing".to_owned(),
        (None, names) => {
            format!("exports {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
    }
}
