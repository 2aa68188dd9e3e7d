//! Checks that a component belongs to the right world, in a supported version of the contract.

use wasmtime::Engine;
use wasmtime::component::Component;

/// The current version of the contract.
const CURRENT: &str = "0.2.0";
/// The supported versions of the contract.
const SUPPORTED: [&str; 2] = [CURRENT, "0.1.0"];
/// The prefix of every name of the contract.
const PACKAGE: &str = "tidegate:policy/";

/// The world of one kind of policy.
pub struct PolicyWorld {
    name: &'static str,
    export: &'static str,
    /// Whether contract 0.1.0 has this world.
    in_v0_1: bool,
}

/// The world of retry policies.
pub const RETRY: PolicyWorld = PolicyWorld { name: "retry", export: "classify", in_v0_1: true };
/// The world of alert conditions.
pub const ALERT: PolicyWorld = PolicyWorld { name: "alert", export: "evaluate", in_v0_1: true };
/// The world of admission policies.
pub const ADMIT: PolicyWorld = PolicyWorld { name: "admit", export: "admit", in_v0_1: false };

/// The version of the contract that a component was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContractVersion {
    /// The current version.
    Current,
    /// 0.1.0, which has no settings.
    V0_1,
}

impl PolicyWorld {
    /// Returns the contract version of a component.
    ///
    /// # Errors
    /// Returns a message with the actual and the expected world if the component does not belong to this world.
    pub fn version(&self, engine: &Engine, component: &Component) -> Result<ContractVersion, String> {
        let ty = component.component_type();
        for (name, _) in ty.imports(engine) {
            self.check_import(name)?;
        }
        let exports: Vec<_> = ty.exports(engine).map(|(name, _)| name).collect();
        let has = |name: &str| exports.contains(&name);
        match (has(self.export), has("configure")) {
            (true, true) => Ok(ContractVersion::Current),
            (true, false) if self.in_v0_1 => Ok(ContractVersion::V0_1),
            _ => Err(format!("expected {}; this one {}", self.description(), describe_exports(&exports))),
        }
    }

    /// Whether the component imports metrics or limits.
    pub fn reads_host(&self, engine: &Engine, component: &Component) -> bool {
        let ty = component.component_type();
        let is_read = |name: &str| name.contains("/metrics@") || name.contains("/limits@");
        ty.imports(engine).any(|(name, _)| is_read(name))
    }

    fn check_import(&self, name: &str) -> Result<(), String> {
        let Some(rest) = name.strip_prefix(PACKAGE) else {
            let allowed =
                "a policy may import only `log`, `metrics` and `limits` of the contract, and no WASI interface";
            return Err(format!("expected {}; this one imports `{name}`: {allowed}", self.description()));
        };
        match rest.rsplit_once('@') {
            Some((_, version)) if SUPPORTED.contains(&version) => Ok(()),
            version => {
                let actual = version.map_or("no version".to_owned(), |(_, version)| format!("version {version}"));
                let supported = SUPPORTED.join(" or ");
                Err(format!(
                    "expected {}; this one is built for {actual} of the contract, not {supported}",
                    self.description()
                ))
            }
        }
    }

    fn description(&self) -> String {
        format!(
            "a component of the world {PACKAGE}{}@{CURRENT}, which exports `configure` and `{}`",
            self.name, self.export
        )
    }

    /// Returns the error for a component whose imports the host does not provide.
    pub fn import_error(&self, error: &wasmtime::Error) -> String {
        format!("expected {}; this one has imports that the host does not provide: {error:#}", self.description())
    }

    /// Returns the error for a component whose exports have the wrong types.
    pub fn export_type_error(&self, error: &wasmtime::Error) -> String {
        format!("expected {}; this one exports them with other types: {error:#}", self.description())
    }
}

/// Describes a component by its exports.
fn describe_exports(exports: &[&str]) -> String {
    let world = [RETRY, ALERT, ADMIT].into_iter().find(|world| exports.contains(&world.export));
    match (world, exports) {
        (Some(world), _) => format!("is of the world `{}`", world.name),
        (None, []) => "exports nothing".to_owned(),
        (None, names) => {
            format!("exports {}", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
    }
}
