//! The engine: what scripts may use, and how far they may go.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, OptimizationLevel, Position};
use tidegate_core::Stats;

/// The longest text a script may make, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// The longest list and the largest map: the longest single operation, comparing lists in lists, grows with its square.
const MAX_ITEMS: usize = 128;
/// The clock is read once in this many operations: often enough for a deadline of a millisecond, and cheap.
const CLOCK_EVERY: u32 = 16;

/// What belongs to the call that runs on this thread.
#[derive(Default)]
pub struct Call {
    /// The chosen headers of the answer.
    pub headers: Vec<(String, String)>,
    /// The figures of every range that the script names.
    pub windows: Vec<(Duration, Stats)>,
}

thread_local! {
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
    /// Counted here, since the engine counts the operations of a function that a list calls apart and forgets them.
    static OPERATIONS: Cell<u32> = const { Cell::new(0) };
    /// Whether the deadline was found to have passed. It stays so until the call ends: the library's printing of lists
    /// swallows the error that ends a script, and a clock read in there each time would never end it.
    static OVER: Cell<bool> = const { Cell::new(false) };
    static CALL: RefCell<Call> = RefCell::default();
}

/// Runs `f` with `call` at hand and the deadline in force.
pub fn during<T>(call: Call, deadline: Duration, f: impl FnOnce() -> T) -> T {
    CALL.set(call);
    DEADLINE.set(Instant::now().checked_add(deadline));
    OVER.set(false);
    let answer = f();
    DEADLINE.set(None);
    CALL.take();
    answer
}

/// Whether the call on this thread has used up its time; the clock is read once in [`CLOCK_EVERY`] operations.
fn is_over() -> bool {
    let operations = OPERATIONS.get().wrapping_add(1);
    OPERATIONS.set(operations);
    if !OVER.get() && operations.is_multiple_of(CLOCK_EVERY) {
        OVER.set(DEADLINE.get().is_some_and(|deadline| Instant::now() >= deadline));
    }
    OVER.get()
}

/// Reads what belongs to the running call.
pub fn with_call<T>(f: impl FnOnce(&Call) -> T) -> T {
    CALL.with_borrow(f)
}

/// An engine whose limits are the same in debug and release builds.
pub fn new(max_operations: u64) -> Engine {
    let mut engine = Engine::new_raw();
    register_packages(&mut engine);
    engine
        // Unoptimised until the script was checked: the optimiser drops branches together with their mistakes.
        .set_optimization_level(OptimizationLevel::None)
        .set_strict_variables(true)
        // A key that is missing is a mistake when read, and assigning new ones is a way around the limit on sizes.
        .on_map_missing_property(|_, key, _| {
            let message = format!("no such key {key:?}; a map keeps the keys it was written with");
            Err(Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE)))
        })
        .set_max_operations(max_operations)
        .set_max_call_levels(16)
        .set_max_expr_depths(64, 32)
        .set_max_string_size(MAX_TEXT)
        .set_max_array_size(MAX_ITEMS)
        .set_max_map_size(MAX_ITEMS)
        .set_max_variables(128)
        .set_max_functions(64)
        .set_max_modules(0)
        // The table of interned texts is behind one lock for all threads.
        .set_max_strings_interned(0)
        .disable_symbol("eval")
        .disable_symbol("import")
        .disable_symbol("export")
        // Copies of curried functions are deep and count as no operation: each doubles the one before.
        .disable_symbol("curry")
        .on_progress(|_| is_over().then_some(Dynamic::UNIT))
        .on_print(|text| tracing::debug!(target: "tidegate::policy", "{text}"))
        .on_debug(|text, _, position| tracing::debug!(target: "tidegate::policy", ?position, "{text}"));
    bound_replace(&mut engine);
    super::retry::register(&mut engine);
    super::alert::register(&mut engine);
    engine
}

/// All of the standard library but what reads the clock, sleeps, leaves the script or handles bytes.
fn register_packages(engine: &mut Engine) {
    ArithmeticPackage::new().register_into_engine(engine);
    BasicArrayPackage::new().register_into_engine(engine);
    BasicFnPackage::new().register_into_engine(engine);
    BasicIteratorPackage::new().register_into_engine(engine);
    BasicMapPackage::new().register_into_engine(engine);
    BasicMathPackage::new().register_into_engine(engine);
    BasicStringPackage::new().register_into_engine(engine);
    LogicPackage::new().register_into_engine(engine);
    MoreStringPackage::new().register_into_engine(engine);
}

/// The library's `replace` builds its whole answer before the size is checked: two texts of 64 KiB make 4 GiB.
fn bound_replace(engine: &mut Engine) {
    fn replace(text: &mut ImmutableString, find: &str, with: &str) -> Result<(), Box<EvalAltResult>> {
        let size = text.len() + text.matches(find).count() * with.len();
        if size > MAX_TEXT {
            return Err(Box::new(EvalAltResult::ErrorDataTooLarge("Length of string".to_owned(), Position::NONE)));
        }
        *text = text.replace(find, with).into();
        Ok(())
    }
    engine.register_fn("replace", |text: &mut ImmutableString, find: &str, with: &str| replace(text, find, with));
    engine.register_fn("replace", |text: &mut ImmutableString, find: char, with: &str| {
        replace(text, find.encode_utf8(&mut [0; 4]), with)
    });
}
