// SPDX-License-Identifier: GPL-2.0-only

//! The handles that VFIO knows open containers by.
//!
//! VFIO reads `iommu_data` without a lock (`vfio_fops_unl_ioctl()`), while closing the last group
//! calls `.release`. So it gets a number: an ioctl that comes too late finds nothing.

use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    sync::{
        atomic::{Atomic, Relaxed},
        Arc,
        SpinLock, //
    },
};

use crate::generation;

/// What VFIO keeps as `iommu_data`: counted up from 1 and never reused.
pub(crate) type Handle = u64;

/// Tables that the handles are spread over, so that ioctls of different containers seldom meet at
/// a lock.
const TABLES: usize = 64;

type Table<T> = RBTree<Handle, Arc<T>>;

/// Where a container is, for who looks at them all.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    table: usize,
    handle: Handle,
}

impl Position {
    /// Before the first.
    pub(crate) const START: Self = Self {
        table: 0,
        handle: 0,
    };

    /// The handle of the container there.
    pub(crate) fn handle(self) -> Handle {
        self.handle
    }
}

/// Memory for a container's place among the open ones.
pub(crate) type ContainerPlace<T> = RBTreeNodeReservation<Handle, Arc<T>>;

/// Containers, which are `T`s, by their handles while they are open.
#[pin_data]
pub(crate) struct Handles<T> {
    last: Atomic<Handle>,
    #[pin]
    tables: [SpinLock<Table<T>>; TABLES],
}

impl<T> Handles<T> {
    /// No containers.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            last: Atomic::new(0),
            tables <- pin_init::pin_init_array_from_fn(|_| {
                new_spinlock!(RBTree::new(), "vfio_pasid::handles")
            }),
        })
    }

    fn table(&self, handle: Handle) -> &SpinLock<Table<T>> {
        &self.tables[handle as usize % TABLES]
    }

    /// Gives an open container its handle.
    pub(crate) fn add(&self, container: Arc<T>, place: ContainerPlace<T>) -> Handle {
        let handle = self.last.fetch_add(1, Relaxed) + 1;
        let node = place.into_node(handle, container);
        let mut table = self.table(handle).lock();
        table.insert(node);
        generation::changed();
        handle
    }

    /// The first container behind `position`, and its own.
    pub(crate) fn next(&self, position: Position) -> Option<(Position, Arc<T>)> {
        let mut behind = position.handle + 1;
        for table in position.table..TABLES {
            if let Some(cursor) = self.tables[table].lock().cursor_lower_bound(&behind) {
                let (&handle, container) = cursor.current();
                return Some((Position { table, handle }, container.clone()));
            }
            behind = 0;
        }
        None
    }

    /// The open container of `handle`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if there is none any more.
    pub(crate) fn find(&self, handle: Handle) -> Result<Arc<T>> {
        let table = self.table(handle).lock();
        table.get(&handle).cloned().ok_or(ENODEV)
    }

    /// Takes the handle from its container: from now on it finds nothing.
    pub(crate) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        let node = {
            let mut table = self.table(handle).lock();
            generation::changed();
            table.remove_node(&handle)
        };
        Some(node?.to_key_value().1)
    }
}
