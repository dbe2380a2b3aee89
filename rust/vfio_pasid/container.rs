// SPDX-License-Identifier: GPL-2.0-only

//! Open containers, and the handles that VFIO knows them by.

use kernel::{
    new_mutex,
    prelude::*,
    rbtree::{RBTree, RBTreeNode, RBTreeNodeReservation},
    static_lock_class,
    sync::{
        lock::{mutex::MutexBackend, Guard},
        Arc,
        Mutex,
        UniqueArc, //
    },
};

use crate::{
    aux::Spaces,
    counters::{Counted, Kind},
    kernel::{
        abi::VFIO_PASID_EXTENSION,
        device::GroupDevice,
        errno::eopnotsupp,
        group::Group,
        mm::current_mm,
        pci::{Address, PciDevice},
        rwsem::{ReadGuard, RwSem},
        stock::StockData,
        vfio::PinnedDevice, //
    },
    mm::VfioMmRef,
    registered::Registered,
    window::{smallest_page, Interval, Wish},
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
    /// The aux spaces. Looking, attaching and detaching are one step under this lock.
    #[pin]
    spaces: Mutex<Spaces>,
    /// The registered memory that the container holds. Guards which ranges, and how often each.
    #[pin]
    registered: Mutex<Registered>,
    _counted: Counted,
}

/// What an open container holds.
pub(crate) struct Contents {
    /// Open devices of the groups. Also such whose driver has yet to finish opening them.
    devices: KVec<PinnedDevice>,
    groups: KVec<Group>,
    /// What VFIO_IOMMU_SETUP granted of the container's own address space.
    window: Option<Interval>,
    vmm: VfioMmRef,
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

    /// The group whose PASID-capable device takes the narrowest PASIDs, and how wide those are.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if no group can use PASIDs.
    pub(crate) fn narrowest_group(&self) -> Result<(&Group, u32)> {
        self.groups
            .iter()
            .filter_map(|group| Some((group, group.pasid_support()?.width)))
            .min_by_key(|&(_, width)| width)
            .ok_or_else(eopnotsupp)
    }

    /// The open device at `address`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub(crate) fn open_device_at(&self, address: Address) -> Result<&PinnedDevice> {
        self.devices
            .iter()
            .find(|open| {
                PciDevice::of(open.device()).is_some_and(|device| device.address() == address)
            })
            .ok_or(ENOENT)
    }

    /// Whether `device` is open through this container.
    pub(crate) fn has_open(&self, device: &PinnedDevice) -> bool {
        self.devices.iter().any(|open| open == device)
    }

    /// Whether the group of `device` is in this container.
    pub(crate) fn owns(&self, device: GroupDevice<'_>) -> bool {
        self.groups.iter().any(|group| group.has(device))
    }

    /// The open PASID-capable device of `group`.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the group has no such device, or several; `ENODEV` if it is not open.
    pub(crate) fn open_device(&self, group: &Group) -> Result<&PinnedDevice> {
        group.pasid_support().ok_or_else(eopnotsupp)?;
        self.devices
            .iter()
            .find(|open| group.has(open.device()) && open.device().pasid_support().is_some())
            .ok_or(ENODEV)
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
            devices: KVec::new(),
            groups: KVec::new(),
            window: None,
            vmm: VfioMmRef::get(current_mm()?)?,
        };
        let stock = open_stock()?;
        let container = memory.pin_init_with(pin_init!(Self {
            stock,
            contents <- RwSem::new(
                Some(contents),
                c"vfio_pasid::contents",
                static_lock_class!(),
            ),
            spaces <- new_mutex!(Spaces::new(), "vfio_pasid::spaces"),
            registered <- new_mutex!(Registered::new(), "vfio_pasid::registered"),
            _counted: Counted::one(Kind::Containers),
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
        // Memory outlives what is mapped, and the process outlives what it has registered.
        *container.spaces.lock() = Spaces::new();
        *container.registered.lock() = Registered::new();
        drop(contents);
        release_stock(container.stock);
    }

    /// `.ioctl`: one that is not ours.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container was released meanwhile.
    pub(crate) fn stock_ioctl(
        &self,
        stock_ioctl: impl FnOnce(StockData) -> isize,
    ) -> Result<isize> {
        let _contents = self.contents()?;
        Ok(stock_ioctl(self.stock))
    }

    /// What the container holds, kept from changing until the result is dropped.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it has been released.
    pub(crate) fn contents(&self) -> Result<ReadGuard<'_, Contents>> {
        self.contents.read().some().ok_or(ENODEV)
    }

    /// The aux spaces, locked; with [`Container::contents`] held, they are not released.
    pub(crate) fn spaces(&self, _held: &Contents) -> Guard<'_, Spaces, MutexBackend> {
        self.spaces.lock()
    }

    /// The registered memory that the container holds, locked; as [`Container::spaces`].
    pub(crate) fn registered(&self, _held: &Contents) -> Guard<'_, Registered, MutexBackend> {
        self.registered.lock()
    }

    /// Narrows the container's own address space to what `wish` can be granted of it: returns the
    /// window, and the page sizes that can be mapped there.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container was released; `ERANGE` if nothing of the wish is left; `EBUSY` if
    /// something outside is mapped; `EOPNOTSUPP` if no group has an IOMMU.
    pub(crate) fn setup(&self, wish: Wish) -> Result<(Interval, u64)> {
        // Nobody else uses the address space between looking and narrowing.
        let mut contents = self.contents.write();
        let contents = contents.as_mut().ok_or(ENODEV)?;
        let own = self.stock.own_space()?;
        let window = wish.within(own.aperture, smallest_page(own.page_sizes))?;
        self.stock.narrow(window)?;
        contents.window = Some(window);
        Ok((window, own.page_sizes))
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
        self.spaces.lock().detach_group(group);
        if let Some(contents) = contents.as_mut() {
            contents.groups.retain(|ours| ours != group);
        }
        detach_stock(self.stock);
        // Stock code made the address space as large as it can be without the group.
        if let Some(window) = contents.as_ref().and_then(|contents| contents.window) {
            if self.stock.narrow(window).is_err() {
                pr_warn!("the window of a container's own address space was lost\n");
            }
        }
    }

    /// `.register_device`: a device is being opened for the first time.
    pub(crate) fn register_device(&self, device: PinnedDevice, tell_stock: impl FnOnce(StockData)) {
        let mut contents = self.contents.write();
        if let Some(contents) = contents.as_mut() {
            if contents.devices.push(device, GFP_KERNEL_ACCOUNT).is_err() {
                pr_warn!("no memory to note an open device: aux spaces cannot be attached to it\n");
            }
        }
        tell_stock(self.stock);
    }

    /// `.unregister_device`: a device was closed for the last time.
    pub(crate) fn unregister_device(
        &self,
        device: &PinnedDevice,
        tell_stock: impl FnOnce(StockData),
    ) {
        let mut contents = self.contents.write();
        if let Some(contents) = contents.as_mut() {
            self.spaces.lock().detach_device(device);
            contents.devices.retain(|open| open != device);
        }
        tell_stock(self.stock);
    }
}
