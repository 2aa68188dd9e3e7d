//! Memory for guests: small blocks are kept for the next verdict instead of going back to the allocator below.
//!
//! A verdict takes some five small blocks for what the host hands over, frees them, and is over in half a microsecond. The
//! default allocator of the target, which merges and splits free blocks, takes a third of that time; a block from a list
//! is there in a few instructions. What is larger than the largest class is left to the allocator below.

#![allow(unsafe_code, reason = "an allocator hands out raw memory; this one makes a verdict a fifth shorter")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;

/// The smallest class, in bytes: it has room for the link to the next free block.
const SMALLEST: usize = 16;
/// The classes double in size, up to 2 KiB.
const CLASSES: usize = 8;

/// Free blocks by class; each holds the address of the next.
pub struct Allocator(UnsafeCell<[*mut u8; CLASSES]>);

// SAFETY: a guest has one thread: the target has none without the feature `atomics`, for which this is not compiled.
unsafe impl Sync for Allocator {}

#[cfg(all(target_family = "wasm", not(target_feature = "atomics")))]
#[global_allocator]
static ALLOCATOR: Allocator = Allocator::new();

impl Allocator {
    /// One that holds nothing yet.
    pub const fn new() -> Self {
        Self(UnsafeCell::new([ptr::null_mut(); CLASSES]))
    }
}

/// The class that a block belongs to, if it is small.
fn class(layout: Layout) -> Option<usize> {
    // Blocks of a class lie as its size does at most; few ask for more than the smallest.
    let size = layout.size().max(layout.align()).max(SMALLEST);
    let class = size.next_power_of_two().trailing_zeros() - SMALLEST.trailing_zeros();
    let class = class as usize;
    (class < CLASSES).then_some(class)
}

/// What is asked of the allocator below for a block of a class.
fn whole(class: usize) -> Layout {
    let size = SMALLEST << class;
    // SAFETY: the size is a power of two of at most 2 KiB, which is a valid alignment and does not overflow.
    unsafe { Layout::from_size_align_unchecked(size, size) }
}

// SAFETY: a block comes from `System` with the size and alignment of its class, which are at least what was asked for; it
// is in a list only between its being freed and its being handed out again, so nobody else holds it; and what is large
// goes to `System` and back with the layout it came with.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = class(layout) else {
            // SAFETY: the caller's promise about the layout holds for `System` too.
            return unsafe { System.alloc(layout) };
        };
        // SAFETY: one thread, and nothing in here allocates through this allocator while the list is borrowed.
        let head = unsafe { &mut (*self.0.get())[class] };
        if head.is_null() {
            // SAFETY: a class has a size above 0.
            return unsafe { System.alloc(whole(class)) };
        }
        let block = *head;
        // SAFETY: a free block begins with the address of the next one, written when it was freed.
        *head = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class(layout) else {
            // SAFETY: what is large came from `System` with this layout.
            return unsafe { System.dealloc(block, layout) };
        };
        // SAFETY: as in `alloc`.
        let head = unsafe { &mut (*self.0.get())[class] };
        // SAFETY: the caller gives the block up, and it has room for an address and lies as one must.
        unsafe { block.cast::<*mut u8>().write(*head) };
        *head = block;
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up to the alignment, does not overflow.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            // SAFETY: what is large came from `System` with this layout.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (before, after) if before == after => block,
            // SAFETY: the new block is another one and has room for what both have; the old one is the caller's to give.
            _ => unsafe {
                let other = self.alloc(wanted);
                if !other.is_null() {
                    ptr::copy_nonoverlapping(block, other, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                other
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn what_is_asked_for_falls_into_the_class_that_holds_it() {
        let rows = [
            ((1, 1), Some(0)),
            ((16, 8), Some(0)),
            ((17, 1), Some(1)),
            ((8, 64), Some(2)),
            ((2_048, 1), Some(7)),
            ((2_049, 1), None),
            ((1, 4_096), None),
        ];
        for ((size, align), expected) in rows {
            assert_eq!(class(layout(size, align)), expected, "{size} bytes at {align}");
        }
    }

    #[test]
    fn blocks_hold_what_is_written_and_are_handed_out_again() {
        let allocator = Allocator::new();
        for size in [1, 16, 24, 2_048, 2_049, 100_000] {
            let layout = layout(size, 8);
            // SAFETY: each block is written within its layout and given back once.
            unsafe {
                let (one, two) = (allocator.alloc(layout), allocator.alloc(layout));
                one.write_bytes(1, size);
                two.write_bytes(2, size);
                assert!((0..size).all(|at| one.add(at).read() == 1), "{size}: apart from the other block");
                allocator.dealloc(one, layout);
                if class(layout).is_some() {
                    assert_eq!(allocator.alloc(layout), one, "{size}: the block freed last comes first");
                    allocator.dealloc(one, layout);
                }
                allocator.dealloc(two, layout);
            }
        }
    }

    #[test]
    fn what_grows_and_shrinks_keeps_its_contents() {
        let allocator = Allocator::new();
        // SAFETY: the block is read and written within the smaller of its layouts, and given back with its last one.
        unsafe {
            let mut block = allocator.alloc(layout(3, 1));
            block.copy_from_nonoverlapping(b"abc".as_ptr(), 3);
            let mut size = 3;
            for next in [12, 40, 5_000, 9_000, 64, 3] {
                block = allocator.realloc(block, layout(size, 1), next);
                size = next;
                assert_eq!(std::slice::from_raw_parts(block, 3), b"abc", "at {next} bytes");
            }
            allocator.dealloc(block, layout(size, 1));
        }
    }
}
