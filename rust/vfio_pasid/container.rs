// SPDX-License-Identifier: GPL-2.0-only

//! Open containers, and the handles that VFIO knows them by.

use kernel::{
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    static_lock_class,
    sync::{Arc, UniqueArc}, //
};

use crate::{
    kernel::{
        abi::VFIO_PASID_EXTENSION,
        group::Group,
        mm::current_mm,
        rwsem::RwSem,
        stock::StockData, //
    },
    mm::VfioMmRef,
    uapi,
    MODULE, //
};

/// What VFIO keeps as `iommu_data`: counted up from 1 and never reused, so that an ioctl that
/// comes too late finds nothing rather than something else. VFIO reads it without a lock.
pub(crate) type Handle = u64;

/// The open containers.
pub(crate) struct Containers {
    last: Handle,
    open: RBTree<Handle, Arc<Container>>,
}

impl Containers {
    /// No containers.
    pub(crate) fn new() -> Self {
        Self {
            last: 0,
            open: RBTree::new(),
        }
    }

    fn add(
        &mut self,
        container: Arc<Container>,
        spare: RBTreeNodeReservation<Handle, Arc<Container>>,
    ) -> Handle {
        self.last += 1;
        self.open.insert(spare.into_node(self.last, container));
        self.last
    }

    /// The caller drops what it gets after the table is unlocked.
    fn remove(&mut self, handle: Handle) -> Option<RBTreeNode<Handle, Arc<Container>>> {
        self.open.remove_node(&handle)
    }
}

/// A container between `.open` (`VFIO_SET_IOMMU`) and `.release` (its last group leaves).
#[pin_data]
pub(crate) struct Container {
    stock: StockData,
    /// What the container holds while it is open. Ioctls, the stock ones included, read; whatever
    /// changes groups or devices writes; `.release` empties it, which waits for all of them.
    #[pin]
    contents: RwSem<Option<Contents>>,
}

/// What an open container holds.
pub(crate) struct Contents {
    vmm: VfioMmRef,
    groups: KVec<Group>,
}

impl Contents {
    /// The process that the container belongs to.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.vmm
    }

    /// The group that user space calls `number`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not in this container.
    pub(crate) fn group(&self, number: u32) -> Result<&Group> {
        self.groups
            .iter()
            .find(|group| group.number() == number)
            .ok_or(ENOENT)
    }
}

impl Container {
    /// `.open`: a container of the calling process. `open_stock` is called last.
    pub(crate) fn open(
        iommu_type: usize,
        open_stock: impl FnOnce() -> Result<StockData>,
    ) -> Result<Handle> {
        // VFIO takes whatever CHECK_EXTENSION says yes to for an IOMMU type; stock says no here.
        if iommu_type == VFIO_PASID_EXTENSION {
            return Err(ENODEV);
        }
        let spare = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        let memory = UniqueArc::<Self>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let contents = Contents {
            vmm: VfioMmRef::get(current_mm()?)?,
            groups: KVec::new(),
        };
        let stock = open_stock()?;
        let container = memory.pin_init_with(pin_init!(Self {
            stock,
            contents <- RwSem::new(
                Some(contents),
                c"vfio_pasid::contents",
                static_lock_class!(),
            ),
        }))?;
        Ok(MODULE.get().containers.lock().add(container.into(), spare))
    }

    /// The container of `handle`, if it is still open.
    pub(crate) fn find(handle: Handle) -> Result<Arc<Self>> {
        let containers = MODULE.get().containers.lock();
        containers.open.get(&handle).cloned().ok_or(ENODEV)
    }

    /// The stock type1's side of the container.
    pub(crate) fn stock(&self) -> StockData {
        self.stock
    }

    /// `.release`: waits for the calls under way, gives back what the container holds, and only
    /// then lets stock code run.
    pub(crate) fn release(handle: Handle, release_stock: impl FnOnce(StockData)) {
        let node = MODULE.get().containers.lock().remove(handle);
        let Some(container) = node.map(|node| node.to_key_value().1) else {
            return;
        };
        let contents = container.contents.write().take();
        drop(contents);
        release_stock(container.stock);
    }

    /// `.ioctl`: ours, or else the stock one.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container was released meanwhile, besides those of the ioctl.
    pub(crate) fn ioctl(
        &self,
        cmd: u32,
        arg: usize,
        stock_ioctl: impl FnOnce(StockData) -> isize,
    ) -> Result<isize> {
        let contents = self.contents.read();
        let contents = contents.as_ref().ok_or(ENODEV)?;
        match uapi::ioctl(contents, cmd, arg) {
            Some(result) => result,
            None => Ok(stock_ioctl(self.stock)),
        }
    }

    /// `.attach_group`: stock first.
    pub(crate) fn attach_group(
        &self,
        group: Group,
        attach_stock: impl FnOnce(StockData) -> Result,
    ) -> Result {
        let mut contents = self.contents.write();
        let contents = contents.as_mut().ok_or(ENODEV)?;
        contents.groups.reserve(1, GFP_KERNEL_ACCOUNT)?;
        attach_stock(self.stock)?;
        Ok(contents.groups.push_within_capacity(group)?)
    }

    /// `.detach_group`: ours first.
    pub(crate) fn detach_group(&self, group: &Group, detach_stock: impl FnOnce(StockData)) {
        let mut contents = self.contents.write();
        if let Some(contents) = contents.as_mut() {
            contents.groups.retain(|ours| ours != group);
        }
        detach_stock(self.stock);
    }

    /// `.register_device` and `.unregister_device`.
    pub(crate) fn change_devices(&self, tell_stock: impl FnOnce(StockData)) {
        let _contents = self.contents.write();
        tell_stock(self.stock);
    }
}
