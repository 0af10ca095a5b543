//! The first half MiB of a process, there from its begin.
//!
//! Enters: an allocator for everything after it.
//! Leaves: memory, one piece behind the other; the last one is taken back, any other stays until the process ends.
//! Never: a lock, a call to the system, a word about what the memory is for.
//!
//! `plimsoll build` of a small tree asks for some 1,600 pieces, 0.2 MB altogether, and ends. An allocator that is made for hours
//! and threads takes longer to lay out its shelves than that takes (docs/design/0008-a-program-that-needs-nothing.md). What the
//! controller loses by it is the room, once.

#![expect(unsafe_code, reason = "an allocator hands out addresses")]

use std::{
    alloc::{GlobalAlloc, Layout},
    cell::UnsafeCell,
    mem::MaybeUninit,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Bytes.
const ROOM: usize = 512 * 1024;
/// Bytes; what must lie on more than a page is not for us.
const PAGE: usize = 4096;

#[repr(C, align(4096))]
struct Room(MaybeUninit<[u8; ROOM]>);

/// Serves from its own room while there is some, and from the `rest` afterwards.
pub(super) struct FirstMemory<A> {
    room: UnsafeCell<Room>,
    /// All that is live lies below.
    used: AtomicUsize,
    rest: A,
}

// SAFETY: the room is reached only by pieces of it, and `used` gives no piece to two.
unsafe impl<A: Sync> Sync for FirstMemory<A> {}

impl<A> FirstMemory<A> {
    pub(super) const fn before(rest: A) -> Self {
        Self {
            room: UnsafeCell::new(Room(MaybeUninit::uninit())),
            used: AtomicUsize::new(0),
            rest,
        }
    }

    fn base(&self) -> *mut u8 {
        self.room.get().cast()
    }

    /// Returns where in the room the piece begins, or `None` for one of the rest.
    fn offset(&self, piece: *mut u8) -> Option<usize> {
        let offset = piece.addr().wrapping_sub(self.base().addr());
        (offset < ROOM).then_some(offset)
    }

    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let mut used = self.used.load(Ordering::Relaxed);
        loop {
            let begin = used.checked_add(layout.align() - 1)? & !(layout.align() - 1);
            let end = begin.checked_add(layout.size())?;
            if end > ROOM || layout.align() > PAGE {
                return None;
            }
            // Whoever had these bytes before gave them back with `Release`.
            match self
                .used
                .compare_exchange_weak(used, end, Ordering::Acquire, Ordering::Relaxed)
            {
                Ok(_) => return Some(self.base().wrapping_add(begin)),
                Err(now) => used = now,
            }
        }
    }

    /// Moves the end of the last piece; says whether this one was it. Nothing that is live ends above, so that no other piece
    /// can lie there.
    fn move_end(&self, from: usize, to: usize) -> bool {
        to <= ROOM
            && self
                .used
                .compare_exchange(from, to, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

// Never inlined: at every place that asks for memory it would be 2 MiB of code.
// SAFETY: a piece of the room is aligned as asked, for the room is to a page, and goes to one caller until it is given back;
// any other is the rest's, and goes back to it.
unsafe impl<A: GlobalAlloc> GlobalAlloc for FirstMemory<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(piece) => piece,
            // SAFETY: the caller's own promise.
            None => unsafe { self.rest.alloc(layout) },
        }
    }

    #[inline(never)]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(piece) => {
                // SAFETY: the piece is as long as the layout. It may have been another's.
                unsafe { piece.write_bytes(0, layout.size()) };
                piece
            }
            // SAFETY: the caller's own promise.
            None => unsafe { self.rest.alloc_zeroed(layout) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.offset(piece) {
            Some(begin) => {
                self.move_end(begin + layout.size(), begin);
            }
            // SAFETY: the caller's own promise, and what is not of the room is of the rest.
            None => unsafe { self.rest.dealloc(piece, layout) },
        }
    }

    #[inline(never)]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let Some(begin) = self.offset(piece) else {
            // SAFETY: the caller's own promise, and what is not of the room is of the rest.
            return unsafe { self.rest.realloc(piece, layout, size) };
        };
        if self.move_end(begin + layout.size(), begin.saturating_add(size)) || size <= layout.size()
        {
            return piece;
        }
        // SAFETY: the caller's own promise: the size, rounded up to this alignment, is no more than `isize::MAX`.
        let larger = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the size is not zero, by the caller's promise.
        let moved = unsafe { self.alloc(larger) };
        if !moved.is_null() {
            // SAFETY: the two are both live, so that they do not meet, and the old one is the shorter.
            unsafe { moved.copy_from_nonoverlapping(piece, layout.size()) };
            // SAFETY: the caller gave the piece up by this call.
            unsafe { self.dealloc(piece, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    fn of(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[test]
    fn what_was_taken_last_is_taken_back_and_zeroed_when_asked() {
        static MEMORY: FirstMemory<System> = FirstMemory::before(System);
        let memory = &MEMORY;
        let layout = of(100, 8);
        // SAFETY: layouts are not empty, each piece is given back once and with its own layout, and only live ones are written.
        unsafe {
            let first = memory.alloc(layout);
            let second = memory.alloc(layout);
            second.write_bytes(7, 100);
            let longer = memory.realloc(second, layout, 1000);
            assert_eq!(longer, second, "the last piece grows where it is");
            memory.dealloc(longer, of(1000, 8));
            let again = memory.alloc_zeroed(of(1000, 8));
            assert_eq!(again, second);
            assert!((0..1000).all(|at| *again.add(at) == 0));

            let moved = memory.realloc(first, layout, 200);
            assert!(moved > again, "another lies behind it");
            assert_eq!(memory.realloc(again, of(1000, 8), 10), again);
        }
    }

    #[test]
    fn what_finds_no_room_is_the_rests() {
        static MEMORY: FirstMemory<System> = FirstMemory::before(System);
        let memory = &MEMORY;
        for layout in [of(ROOM + 1, 8), of(64, 2 * PAGE)] {
            // SAFETY: as above.
            unsafe {
                let piece = memory.alloc(layout);
                assert_eq!(memory.offset(piece), None);
                memory.dealloc(piece, layout);
            }
        }
        let whole = of(ROOM, PAGE);
        // SAFETY: as above.
        unsafe {
            let piece = memory.alloc(whole);
            assert_eq!(memory.offset(piece), Some(0));
            let other = memory.realloc(piece, whole, ROOM + 1);
            assert_eq!(memory.offset(other), None);
            assert_eq!(memory.used.load(Ordering::Relaxed), 0, "left at once");
            memory.dealloc(other, of(ROOM + 1, PAGE));
        }
    }

    #[test]
    fn no_piece_is_given_to_two() {
        static MEMORY: FirstMemory<System> = FirstMemory::before(System);
        std::thread::scope(|threads| {
            for mark in 1..=4_u8 {
                threads.spawn(move || churn(&MEMORY, mark));
            }
        });
    }

    /// Takes, grows and gives back at random; every live byte must stay this thread's.
    fn churn(memory: &FirstMemory<System>, mark: u8) {
        let mut random = fastrand::Rng::with_seed(mark.into());
        let mut live: Vec<(*mut u8, Layout)> = Vec::new();
        for _ in 0..5_000 {
            let size = random.usize(1..600);
            // SAFETY: as above; a piece leaves `live` before it is given back.
            unsafe {
                if live.len() < 20 && random.bool() {
                    let layout = of(size, 1 << random.usize(0..7));
                    let piece = memory.alloc(layout);
                    assert!(piece.addr().is_multiple_of(layout.align()));
                    piece.write_bytes(mark, size);
                    live.push((piece, layout));
                } else if let Some((piece, layout)) = live.pop() {
                    assert!((0..layout.size()).all(|at| *piece.add(at) == mark));
                    if random.bool() {
                        let kept = size.min(layout.size());
                        let moved = memory.realloc(piece, layout, size);
                        assert!((0..kept).all(|at| *moved.add(at) == mark));
                        moved.write_bytes(mark, size);
                        live.insert(0, (moved, of(size, layout.align())));
                    } else {
                        memory.dealloc(piece, layout);
                    }
                }
            }
        }
        for (piece, layout) in live {
            // SAFETY: as above.
            unsafe { memory.dealloc(piece, layout) };
        }
    }
}
