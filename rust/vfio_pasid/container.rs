// SPDX-License-Identifier: GPL-2.0-only

//! Open containers: what they hold, and how they come down.

use core::mem::replace;

use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    rbtree::{RBTree, RBTreeNodeReservation},
    static_lock_class,
    sync::{
        atomic::{Acquire, Atomic, Release},
        Arc,
        UniqueArc, //
    },
    workqueue::{Work, WorkItem}, //
};

use crate::{
    counters::{Counted, Kind},
    generation,
    handle::{ContainerPlace, Handle, Handles},
    interval::{smallest_page, Interval},
    kernel::{
        abi::VFIO_PASID_EXTENSION,
        device::{DeviceName, GroupDevice},
        errno::eopnotsupp,
        global::Global,
        group::Group,
        maker::Maker,
        mm::current_mm,
        mutex::{KillableGuard, KillableMutex},
        pci::{Address, PciDevice},
        stock::{OwnPart, OwnSpace, Stock, StockOps},
        vfio::{Identity, PinnedDevice},
        work::WORKQUEUE, //
    },
    memory::of_container::{ContainerMemory, Share},
    space::{
        attachment::{Attached, AttachedPlace, AttachmentKey, Attachments, OpenDevice},
        own::OwnMapping,
        window::WindowRequest,
        Space,
        SpacePlace,
        Spaces, //
    },
    vfio_mm::{Closing, Membership, VfioMmRef}, //
};

/// A container between `.open` (`VFIO_SET_IOMMU`) and `.release` (its last group leaves), and for
/// as long as a call that has found it goes on. Such a call keeps the memory, the process's
/// `vfio_mm` and the shim's module, and nothing that anybody waits for.
///
/// The fields are dropped in this order: with the last one the code of the caller may go.
#[pin_data]
pub(crate) struct Container {
    /// What it holds. Never locked while anything takes long: VFIO's callbacks wait for it.
    #[pin]
    state: KillableMutex<State>,
    /// The last group has left: nothing comes in any more.
    dead: Atomic<bool>,
    vmm: VfioMmRef,
    _counted: Counted,
    stock: Stock<OwnMapping>,
}

/// The open containers.
pub(crate) static HANDLES: Global<Handles<Container>> = Global::new();

/// What a container holds.
pub(crate) struct State {
    groups: RBTree<u32, Group>,
    /// Open devices of the groups. Also such whose driver has yet to finish opening them.
    devices: RBTree<Identity, OpenDevice>,
    /// How often groups or devices have come or gone.
    changes: u64,
    attachments: Attachments,
    spaces: Spaces,
    registered: ContainerMemory,
    /// What remains at the end, without contents until then; `None` when all is over.
    remains: Option<(Membership, Pin<KBox<Remains>>)>,
}

/// What a container has left when it closes: long to take down, so that it is done on the
/// workqueue.
#[pin_data]
struct Remains {
    #[pin]
    work: Work<Remains>,
    contents: Option<(Spaces, ContainerMemory, Closing)>,
}

impl_has_work! {
    impl HasWork<Self> for Remains { self.work }
}

impl WorkItem for Remains {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        // Memory outlives what is mapped; calls that fail for either wait until both are gone.
        if let Some((spaces, registered, closing)) = this.as_mut().project().contents.take() {
            drop(spaces);
            drop(registered);
            drop(closing);
        }
    }
}

impl Remains {
    fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                work <- new_work!("vfio_pasid::remains"),
                contents: None,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }
}

/// Groups and open devices at one moment, for comparing.
pub(crate) struct View {
    groups: KVec<Group>,
    devices: KVec<Identity>,
    changes: u64,
}

impl View {
    /// Whether `device` is open through the container.
    pub(crate) fn has_open(&self, device: &PinnedDevice) -> bool {
        self.devices.contains(&device.identity())
    }

    /// Whether the group of `device` is in the container.
    pub(crate) fn owns(&self, device: GroupDevice<'_>) -> bool {
        self.groups.iter().any(|group| group.has(device))
    }
}

impl State {
    /// The group that user space calls `number`.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not in this container.
    pub(crate) fn group(&self, number: u32) -> Result<&Group> {
        self.groups.get(&number).ok_or(ENOENT)
    }

    /// The group whose PASID-capable device takes the narrowest PASIDs, and how wide those are.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if no group can use PASIDs.
    pub(crate) fn narrowest_group(&self) -> Result<(&Group, u32)> {
        self.groups
            .values()
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
            .values()
            .find(|open| {
                PciDevice::of(open.device()).is_some_and(|device| device.address() == address)
            })
            .map(OpenDevice::pinned)
            .ok_or(ENOENT)
    }

    /// What the open PASID-capable device of the group `number` is called.
    pub(crate) fn device_of(&self, number: u32) -> Option<DeviceName> {
        let device = open_device(&self.devices, self.group(number).ok()?).ok()?;
        Some(device.device().name())
    }

    /// The space that `pasid` names.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is none.
    pub(crate) fn space(&self, pasid: u32) -> Result<Space> {
        self.spaces.get(&pasid).cloned().ok_or(ENOENT)
    }

    /// Adds a space, unless there is one of that name: the process's space, of which each container
    /// has one at most. Then the new one is returned, to be dropped when this is unlocked.
    #[must_use]
    pub(crate) fn add_space(&mut self, space: Space, place: SpacePlace) -> Option<Space> {
        if self.spaces.get(&space.pasid()).is_some() {
            return Some(space);
        }
        self.spaces.insert(place.into_node(space.pasid(), space));
        generation::changed();
        None
    }

    /// An open device that can use process spaces.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if no group can use PASIDs, or no open device process spaces; `ENODEV` if no
    /// device is open that can use PASIDs.
    pub(crate) fn process_device(&self) -> Result<&OpenDevice> {
        self.narrowest_group()?;
        let mut error = ENODEV;
        for group in self.groups.values() {
            let Ok(device) = open_device(&self.devices, group) else {
                continue;
            };
            if device.can_use_processes() {
                return Ok(device);
            }
            error = eopnotsupp();
        }
        Err(error)
    }

    /// Whether `device` is open.
    ///
    /// # Errors
    ///
    /// `ENODEV` if it has been closed.
    pub(crate) fn check_open(&self, device: &OpenDevice) -> Result {
        let now = self.devices.get(&device.pinned().identity());
        now.filter(|now| now.is(device)).map(|_| ()).ok_or(ENODEV)
    }

    /// Whether the process space `pasid` can be attached to `device` of the group `number`.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the device has been closed; `ENOENT` if the space or the group is gone; `EEXIST`
    /// if it is attached.
    pub(crate) fn check_process(&self, pasid: u32, number: u32, device: &OpenDevice) -> Result {
        self.check_process_space(pasid)?;
        self.group(number)?;
        self.check_open(device)?;
        if self.attachments.has(number, pasid) {
            return Err(EEXIST);
        }
        Ok(())
    }

    /// Whether `pasid` names the process space: it may have gone, and the number be another's.
    ///
    /// # Errors
    ///
    /// `ENOENT` if not.
    fn check_process_space(&self, pasid: u32) -> Result {
        match self.spaces.get(&pasid) {
            Some(Space::Process(_)) => Ok(()),
            _ => Err(ENOENT),
        }
    }

    /// Adds what [`State::check_process`] allows.
    pub(crate) fn add_attached(
        &mut self,
        pasid: u32,
        number: u32,
        attached: Attached,
        place: AttachedPlace,
    ) {
        self.attachments.add(number, pasid, attached, place);
        generation::changed();
    }

    /// Takes the attachment of the process space `pasid` to the group `number`, to be dropped when
    /// this is unlocked.
    ///
    /// # Errors
    ///
    /// `ENOENT` if it is not attached.
    pub(crate) fn take_attached(&mut self, pasid: u32, number: u32) -> Result<Attached> {
        let attached = self.attachments.take(number, pasid).ok_or(ENOENT)?;
        generation::changed();
        Ok(attached)
    }

    /// Takes the process space `pasid` from the container, if it is not attached.
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such space.
    pub(crate) fn remove_process_space(&mut self, pasid: u32) -> Result<Removal> {
        self.check_process_space(pasid)?;
        for (&number, group) in self.groups.iter() {
            if self.attachments.has(number, pasid) {
                let device = open_device(&self.devices, group)?.clone();
                return Ok(Removal::Attached(number, device));
            }
        }
        let space = self.spaces.remove(&pasid).ok_or(ENOENT)?;
        generation::changed();
        Ok(Removal::Done(space))
    }

    /// Takes a space from the container, and detaches it.
    pub(crate) fn remove_space(&mut self, pasid: u32) {
        for &number in self.groups.keys() {
            let _: Result = self.attachments.detach(number, pasid);
        }
        self.spaces.remove(&pasid);
        generation::changed();
    }

    /// Attaches the space `pasid` to `group`, for the process `vmm`. Its device is open if it is on
    /// the list: VFIO takes it off when it is closed, or if opening it fails, and then it is
    /// detached. For a process space, which is not attached with this locked, the device is
    /// returned instead.
    ///
    /// # Errors
    ///
    /// Those of [`State::space`], [`State::group`] and [`Attachments::attach`]; `EOPNOTSUPP` if the
    /// group has no PASID-capable device, or several; `ENODEV` if it is not open.
    pub(crate) fn attach(
        &mut self,
        vmm: &VfioMmRef,
        pasid: u32,
        number: u32,
        place: AttachedPlace,
    ) -> Result<Option<OpenDevice>> {
        let space = self.space(pasid)?;
        let device = open_device(&self.devices, self.group(number)?)?;
        let Space::Aux(space) = space else {
            return Ok(Some(device.clone()));
        };
        self.attachments
            .attach(vmm, &space, number, device, place)?;
        generation::changed();
        Ok(None)
    }

    /// Detaches the space `pasid` from the group `number`. For a process space, its device is
    /// returned instead, as by [`State::attach`].
    ///
    /// # Errors
    ///
    /// `ENOENT` if there is no such space or group, or it is not attached.
    pub(crate) fn detach(&mut self, pasid: u32, number: u32) -> Result<Option<OpenDevice>> {
        let space = self.space(pasid)?;
        let group = self.group(number)?;
        if let Space::Process(_) = space {
            if !self.attachments.has(number, pasid) {
                return Err(ENOENT);
            }
            return Ok(Some(open_device(&self.devices, group)?.clone()));
        }
        self.attachments.detach(number, pasid)?;
        generation::changed();
        Ok(None)
    }

    /// The numbers of the groups that the space `pasid` is attached to, in ascending order.
    pub(crate) fn groups_of(&self, pasid: u32) -> impl Iterator<Item = u32> + '_ {
        let numbers = self.groups.keys().copied();
        numbers.filter(move |&number| self.attachments.has(number, pasid))
    }

    /// The numbers of all groups, in ascending order.
    pub(crate) fn groups(&self) -> impl Iterator<Item = u32> + '_ {
        self.groups.keys().copied()
    }

    /// The first group from `number` on.
    pub(crate) fn group_from(&self, number: u32) -> Option<u32> {
        Some(*self.groups.cursor_lower_bound(&number)?.current().0)
    }

    /// What `see` makes of the first open device from `identity` on, and which it is.
    pub(crate) fn device_from<T>(
        &self,
        identity: Identity,
        see: impl FnOnce(GroupDevice<'_>) -> T,
    ) -> Option<(Identity, T)> {
        let cursor = self.devices.cursor_lower_bound(&identity)?;
        let (&identity, device) = cursor.current();
        Some((identity, see(device.device())))
    }

    /// What `see` makes of the first space from `pasid` on.
    pub(crate) fn space_from<T>(&self, pasid: u32, see: impl FnOnce(&Space) -> T) -> Option<T> {
        let cursor = self.spaces.cursor_lower_bound(&pasid)?;
        Some(see(cursor.current().1))
    }

    /// The first attachment from `key` on.
    pub(crate) fn attachment_from(&self, key: AttachmentKey) -> Option<AttachmentKey> {
        self.attachments.first_from(key)
    }

    /// The first range of registered memory that ends at or behind `address`.
    pub(crate) fn share_from(&self, address: u64) -> Option<Share> {
        self.registered.range_from(address)
    }

    /// The registered memory.
    pub(crate) fn registered(&mut self) -> &mut ContainerMemory {
        &mut self.registered
    }

    fn changed(&mut self) {
        self.changes += 1;
        generation::changed();
    }
}

/// Whether a process space was taken from its container.
pub(crate) enum Removal {
    /// It was: to be dropped when the container is unlocked.
    Done(Space),
    /// It is attached to this group, whose device this is.
    Attached(u32, OpenDevice),
}

/// The PASID-capable device of `group`, which is one of `devices`.
///
/// # Errors
///
/// `EOPNOTSUPP` if the group has no such device, or several; `ENODEV` if it is not open.
fn open_device<'a>(
    devices: &'a RBTree<Identity, OpenDevice>,
    group: &Group,
) -> Result<&'a OpenDevice> {
    group.pasid_support().ok_or_else(eopnotsupp)?;
    devices
        .values()
        .find(|open| group.has(open.device()) && open.device().pasid_support().is_some())
        .ok_or(ENODEV)
}

/// A container whose process is the caller's.
pub(crate) struct Caller<'a>(&'a Container);

impl Caller<'_> {
    /// The process.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.0.vmm
    }

    /// What the container holds, locked: for a short time.
    ///
    /// # Errors
    ///
    /// `ENODEV` if its last group has left; `EINTR` if a fatal signal came first.
    pub(crate) fn state(&self) -> Result<KillableGuard<'_, State>> {
        let state = self.0.state.lock_killable()?;
        self.check_alive()?;
        Ok(state)
    }

    /// Whether what is being done may still be done.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container's last group has left.
    pub(crate) fn check_alive(&self) -> Result {
        if self.0.is_dead() {
            return Err(ENODEV);
        }
        Ok(())
    }

    /// Groups and open devices.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if so many came meanwhile that there is no room for them; `ENOMEM`; those of
    /// [`Caller::state`].
    pub(crate) fn view(&self) -> Result<View> {
        let (groups, devices) = {
            let state = self.state()?;
            (state.groups.keys().count(), state.devices.keys().count())
        };
        let mut groups: KVec<Group> = KVec::with_capacity(groups, GFP_KERNEL_ACCOUNT)?;
        let mut devices = KVec::with_capacity(devices, GFP_KERNEL_ACCOUNT)?;
        let state = self.state()?;
        for group in state.groups.values() {
            groups
                .push_within_capacity(group.clone())
                .map_err(|_| EAGAIN)?;
        }
        for &device in state.devices.keys() {
            devices.push_within_capacity(device).map_err(|_| EAGAIN)?;
        }
        Ok(View {
            groups,
            devices,
            changes: state.changes,
        })
    }

    /// Whether groups and open devices are still what `view` has.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if not; those of [`Caller::state`].
    pub(crate) fn check_view(&self, view: &View) -> Result {
        if self.state()?.changes != view.changes {
            return Err(EAGAIN);
        }
        Ok(())
    }

    /// Narrows the container's own address space to what `request` can be granted of it: returns
    /// the window, and the page sizes that can be mapped there.
    ///
    /// # Errors
    ///
    /// `ERANGE` if nothing of the request is left; those of [`Stock::setup`] and
    /// [`Caller::check_alive`].
    pub(crate) fn setup(&self, request: WindowRequest) -> Result<(Interval, u64)> {
        let mut granted = Err(ENODEV);
        let done = self.0.stock.setup(|own| {
            let window = request.within(own.aperture, smallest_page(own.page_sizes))?;
            granted = Ok((window, own.page_sizes));
            Ok(window)
        });
        self.check_alive()?;
        done.and(granted)
    }
}

impl Caller<'_> {
    /// Maps registered memory in the container's own space.
    ///
    /// # Errors
    ///
    /// Those of [`Stock::own_map`] and [`Caller::check_alive`].
    pub(crate) fn own_map(&self, mapping: KBox<OwnMapping>) -> Result {
        // A container is dead before its last group takes all mappings with it, both under
        // `iommu->lock`: what is mapped later would stay for ever.
        self.0.stock.own_map(mapping, |mapping| {
            self.check_alive()?;
            mapping.mapped();
            Ok(())
        })
    }

    /// Unmaps registered memory in `range` of the own space, and returns how many bytes it had.
    ///
    /// # Errors
    ///
    /// Those of [`Stock::own_unmap`] and [`Caller::check_alive`].
    pub(crate) fn own_unmap(&self, range: Interval) -> Result<u64> {
        let unmapped = self.0.stock.own_unmap(range)?;
        self.check_alive()?;
        Ok(unmapped)
    }

    /// Looks at the own space, as [`Stock::own_look`].
    ///
    /// # Errors
    ///
    /// Those of [`Stock::own_look`] and [`Caller::check_alive`].
    pub(crate) fn own_look(
        &self,
        from: u64,
        see: impl FnMut(OwnPart<'_, OwnMapping>) -> bool,
    ) -> Result<OwnSpace> {
        let space = self.0.stock.own_look(from, see)?;
        self.check_alive()?;
        Ok(space)
    }
}

impl Container {
    /// `.open`: a container of the calling process. The stock `.open` is called last.
    pub(crate) fn open(iommu_type: usize, ops: &'static StockOps) -> Result<Handle> {
        // VFIO takes whatever CHECK_EXTENSION says yes to for an IOMMU type; stock says no here.
        if iommu_type == VFIO_PASID_EXTENSION {
            return Err(ENODEV);
        }
        let place = ContainerPlace::new(GFP_KERNEL_ACCOUNT)?;
        let memory = UniqueArc::<Self>::new_uninit(GFP_KERNEL_ACCOUNT)?;
        let remains = Remains::new()?;
        let membership = Membership::new(current_mm()?, Maker::current)?;
        let vmm = membership.vmm().clone();
        let stock = Stock::open(ops, iommu_type)?;
        let state = State {
            groups: RBTree::new(),
            devices: RBTree::new(),
            changes: 0,
            attachments: Attachments::new(),
            spaces: Spaces::new(),
            registered: ContainerMemory::new(),
            remains: Some((membership, remains)),
        };
        let container = memory.pin_init_with(pin_init!(Self {
            state <- KillableMutex::new(state, c"vfio_pasid::container", static_lock_class!()),
            dead: Atomic::new(false),
            vmm,
            _counted: Counted::one(Kind::Containers),
            stock,
        }))?;
        Ok(HANDLES.get().add(container.into(), place))
    }

    /// The container of `handle`, if it is still open.
    pub(crate) fn find(handle: Handle) -> Result<Arc<Self>> {
        HANDLES.get().find(handle)
    }

    /// The process.
    pub(crate) fn vmm(&self) -> &VfioMmRef {
        &self.vmm
    }

    /// Looks at what the container holds: for a short time, as VFIO's callbacks wait for that.
    ///
    /// # Errors
    ///
    /// `ENODEV` if its last group has left; `EINTR` if a fatal signal came first.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&State) -> T) -> Result<T> {
        let state = self.state.lock_killable()?;
        Caller(self).check_alive()?;
        Ok(see(&state))
    }

    /// The stock type1's side of the container.
    pub(crate) fn stock(&self) -> &Stock<OwnMapping> {
        &self.stock
    }

    /// For an ioctl of ours.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container's last group has left; `EPERM` if the caller belongs to another
    /// process.
    pub(crate) fn enter(&self) -> Result<Caller<'_>> {
        let caller = Caller(self);
        caller.check_alive()?;
        if !self.vmm.is_current() {
            return Err(EPERM);
        }
        Ok(caller)
    }

    fn is_dead(&self) -> bool {
        self.dead.load(Acquire)
    }

    /// An ioctl that is not ours. What it says of a container that died meanwhile may not be true
    /// any more: all was unmapped, and stock code takes what has no groups for one of emulated
    /// devices.
    ///
    /// # Errors
    ///
    /// `ENODEV` if the container's last group has left.
    pub(crate) fn stock_ioctl(&self, cmd: u32, arg: usize) -> Result<isize> {
        let result = self.stock.ioctl(cmd, arg);
        Caller(self).check_alive()?;
        Ok(result)
    }

    /// `.release`: all groups have left. Waits for no call; those under way find the container
    /// dead, and the last of them drops it.
    pub(crate) fn release(handle: Handle) {
        let Some(container) = HANDLES.get().remove(handle) else {
            return;
        };
        container.dead.store(true, Release);
        let (spaces, registered, remains) = {
            let mut state = container.state.lock();
            generation::changed();
            (
                replace(&mut state.spaces, Spaces::new()),
                replace(&mut state.registered, ContainerMemory::new()),
                state.remains.take(),
            )
        };
        if spaces.is_empty() && registered.is_empty() {
            return;
        }
        if let Some((membership, mut remains)) = remains {
            let contents = (spaces, registered, membership.close());
            *remains.as_mut().project().contents = Some(contents);
            WORKQUEUE.get().queue().enqueue(remains);
        }
    }

    /// `.attach_group`: stock first.
    pub(crate) fn attach_group(&self, group: Group, group_type: u32) -> Result {
        let place = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT)?;
        self.stock.attach_group(&group, group_type)?;
        let mut state = self.state.lock();
        state.groups.insert(place.into_node(group.number(), group));
        state.changed();
        Ok(())
    }

    /// `.detach_group`: ours first. A PASID that is left attached makes
    /// `__iommu_release_dma_ownership()` warn, and the group could never be opened again.
    pub(crate) fn detach_group(&self, group: &Group) {
        let bonds;
        {
            let mut state = self.state.lock();
            bonds = state.attachments.detach_all(group.number(), None);
            state.groups.remove(&group.number());
            state.changed();
            if state.groups.is_empty() {
                self.dead.store(true, Release);
            }
        }
        drop(bonds);
        self.stock.detach_group(group);
    }

    /// `.register_device`: a device is being opened for the first time.
    pub(crate) fn register_device(&self, device: PinnedDevice) {
        self.stock.register_device(&device);
        let identity = device.identity();
        let place = RBTreeNodeReservation::new(GFP_KERNEL_ACCOUNT);
        let (Ok(place), Ok(device)) = (place, OpenDevice::new(device)) else {
            pr_warn!("no memory to note an open device: aux spaces cannot be attached to it\n");
            return;
        };
        let mut state = self.state.lock();
        state.devices.insert(place.into_node(identity, device));
        state.changed();
    }

    /// `.unregister_device`: a device was closed for the last time.
    pub(crate) fn unregister_device(&self, device: &PinnedDevice) {
        let mut bonds = None;
        let open = {
            let mut state = self.state.lock();
            let group = state
                .groups
                .values()
                .find(|group| group.has(device.device()));
            if let Some(number) = group.map(Group::number) {
                let closed = Some(device.identity());
                bonds = Some(state.attachments.detach_all(number, closed));
            }
            let open = state.devices.remove(&device.identity());
            state.changed();
            open
        };
        drop(bonds);
        // Whoever binds a process to the device, or unbinds one, finds it closed, or is done.
        if let Some(open) = open {
            open.wait_at_gate();
        }
        self.stock.unregister_device(device);
    }
}
