// SPDX-License-Identifier: GPL-2.0-only

//! How much of everything there is, for `/sys/kernel/debug/vfio_pasid/in_use`: what is not 0 while
//! nobody has a container open, and nothing is closing, has been lost.

use kernel::sync::atomic::{Atomic, Full, Relaxed};

/// What is counted.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Open containers.
    Containers,
    /// PASIDs that are held, by users or by kernel drivers.
    Pasids,
    /// Aux spaces.
    Spaces,
    /// Attachments, of aux spaces and of domains of kernel drivers.
    Attachments,
    /// Mappings of aux spaces.
    Mappings,
    /// Ranges of registered memory that containers hold.
    Registrations,
    /// Pages of registered memory, each range once.
    PinnedPages,
    /// Closed containers, and charges, that are yet to be taken down.
    Closing,
}

impl Kind {
    /// The names, in the order of the kinds.
    const NAMES: [&'static str; 8] = [
        "containers",
        "pasids",
        "spaces",
        "attachments",
        "mappings",
        "registrations",
        "pinned_pages",
        "closing",
    ];
}

/// A counter for each kind.
pub(crate) struct Counters {
    kinds: [Atomic<usize>; Kind::NAMES.len()],
}

/// All at 0 when the module is loaded.
pub(crate) static COUNTERS: Counters = Counters {
    kinds: [const { Atomic::new(0) }; Kind::NAMES.len()],
};

impl Counters {
    /// There are `amount` more.
    pub(crate) fn add(&self, kind: Kind, amount: usize) {
        self.kinds[kind as usize].fetch_add(amount, Relaxed);
    }

    /// There are `amount` less.
    pub(crate) fn sub(&self, kind: Kind, amount: usize) {
        self.kinds[kind as usize].fetch_sub(amount, Relaxed);
    }
}

/// What reading the file gives: a line each, the name and the number.
impl core::fmt::Debug for Counters {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (name, counter) in Kind::NAMES.iter().zip(&self.kinds) {
            writeln!(out, "{name} {}", counter.load(Relaxed))?;
        }
        Ok(())
    }
}

/// Changes `counter` to what `change` makes of it, unless that is `None`; returns whether it did.
pub(crate) fn step(counter: &Atomic<usize>, change: impl Fn(usize) -> Option<usize>) -> bool {
    let mut now = counter.load(Relaxed);
    while let Some(next) = change(now) {
        match counter.cmpxchg(now, next, Full) {
            Ok(_) => return true,
            Err(other) => now = other,
        }
    }
    false
}

/// Adds one, unless that would be more than `limit`; returns whether it did.
pub(crate) fn add_below(counter: &Atomic<usize>, limit: usize) -> bool {
    step(counter, |now| (now < limit).then_some(now + 1))
}

/// Counts something until it is dropped: the last field of what it counts.
pub(crate) struct Counted {
    kind: Kind,
    amount: usize,
}

impl Counted {
    /// Counts one.
    pub(crate) fn one(kind: Kind) -> Self {
        Self::many(kind, 1)
    }

    /// Counts one, unless there are as many as `limit`.
    pub(crate) fn one_below(kind: Kind, limit: usize) -> Option<Self> {
        let counter = &COUNTERS.kinds[kind as usize];
        add_below(counter, limit).then(|| Self { kind, amount: 1 })
    }

    /// How much it counts.
    pub(crate) fn amount(&self) -> usize {
        self.amount
    }

    /// Counts `amount`.
    pub(crate) fn many(kind: Kind, amount: usize) -> Self {
        COUNTERS.add(kind, amount);
        Self { kind, amount }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        COUNTERS.sub(self.kind, self.amount);
    }
}

/// Counts one of a kind until it is dropped, and takes no room: for what there is much of.
pub(crate) struct CountedOne<const KIND: usize>(());

impl<const KIND: usize> CountedOne<KIND> {
    /// Counts one.
    pub(crate) fn new() -> Self {
        COUNTERS.kinds[KIND].fetch_add(1, Relaxed);
        Self(())
    }
}

impl<const KIND: usize> Drop for CountedOne<KIND> {
    fn drop(&mut self) {
        COUNTERS.kinds[KIND].fetch_sub(1, Relaxed);
    }
}

/// A mapping, counted.
pub(crate) type CountedMapping = CountedOne<{ Kind::Mappings as usize }>;
