// SPDX-License-Identifier: Apache-2.0 OR MIT

//! What can be said of the API without a VFIO device; `pasid-demo` uses the rest in a guest.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

use std::{
    fs::File,
    io,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
};

use vfio_pasid::{
    vm_memory::{
        bitmap::AtomicBitmap, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, MmapRegion,
    },
    Access, AuxOptions, AuxSpace, Container, Errno, IommuType, Iovas, Mapping, PciFunction,
    RegisteredMemory, ANY_PASID,
};

/// Something that takes no VFIO ioctl.
fn not_a_container() -> Container {
    Container::from(OwnedFd::from(File::open("/dev/null").expect("/dev/null")))
}

#[test]
fn an_error_names_the_ioctl_and_the_errno() {
    let container = not_a_container();
    let memory: Arc<MmapRegion> = Arc::new(MmapRegion::new(4096).expect("memory"));
    let errors = [
        container.features().map(drop).expect_err("no container"),
        container
            .set_iommu(IommuType::Type1v2)
            .expect_err("no container"),
        container.alloc_pasid(ANY_PASID).expect_err("no container"),
        container.free_pasids(ANY_PASID).expect_err("no container"),
        container.pasid_info(None).expect_err("no container"),
        container
            .create_aux_space(AuxOptions::default())
            .map(drop)
            .expect_err("no container"),
        container
            .process_space()
            .map(drop)
            .expect_err("no container"),
        container
            .register_memory(memory.clone())
            .map(drop)
            .expect_err("no container"),
        container
            .register_read_only_memory(memory)
            .map(drop)
            .expect_err("no container"),
        container
            .setup_window(None)
            .map(drop)
            .expect_err("no container"),
        container
            .hot_reset_info("00:10.0".parse().expect("an address"))
            .expect_err("no container"),
    ];
    let calls = [
        "VFIO_CHECK_EXTENSION",
        "VFIO_SET_IOMMU",
        "VFIO_IOMMU_PASID_REQUEST",
        "VFIO_IOMMU_PASID_REQUEST",
        "VFIO_IOMMU_PASID_INFO",
        "VFIO_IOMMU_AUX_CREATE",
        "VFIO_IOMMU_AUX_CREATE",
        "VFIO_IOMMU_REGISTER_MEMORY",
        "VFIO_IOMMU_REGISTER_MEMORY",
        "VFIO_IOMMU_SETUP",
        "VFIO_IOMMU_HOT_RESET_INFO",
    ];
    for (error, call) in errors.into_iter().zip(calls) {
        assert_eq!(error.errno(), Errno::ENOTTY);
        assert_eq!(error.call(), call);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{call}: ENOTTY: ")), "{text}");
        let advised = text.ends_with("load vfio_iommu_type1 of vfio-pasid)");
        assert_eq!(advised, call.starts_with("VFIO_IOMMU_"), "{text}");
        assert_eq!(io::Error::from(error).to_string(), text);
    }
}

#[test]
fn pci_addresses() {
    for (text, shown) in [
        ("0000:00:10.0", "0000:00:10.0"),
        ("00:1f.7", "0000:00:1f.7"),
        ("ABCD:ff:01.1", "abcd:ff:01.1"),
    ] {
        let function: PciFunction = text.parse().expect(text);
        assert_eq!(function.to_string(), shown);
    }
    for text in [
        "",
        "0000:00:10",
        "00:20.0",
        "00:10.8",
        "10000:00:10.0",
        "100:10.0",
        "00:+1.0",
        "a:b:c:d.0",
        "00:10.0/../../x",
    ] {
        let error = text.parse::<PciFunction>().expect_err(text);
        assert_eq!(error.errno(), Errno::EINVAL);
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn a_missing_function_is_an_error() {
    let function: PciFunction = "ffff:ff:1f.7".parse().expect("an address");
    assert_eq!(function.id().expect_err("none").errno(), Errno::ENOENT);
    assert_eq!(
        function.iommu_group().expect_err("none").errno(),
        Errno::ENODEV
    );
    assert_eq!(function.driver().expect("no driver"), None);
}

#[test]
fn only_a_container_is_adopted() {
    let file = File::open("/dev/null").expect("/dev/null");
    let error = Container::adopt(file.as_fd()).map(drop);
    let error = error.expect_err("no container");
    assert_eq!(error.call(), "VFIO_GET_API_VERSION");
    assert_eq!(error.errno(), Errno::ENOTTY);
    file.metadata().expect("still open");
}

/// What a VMM has: guest memory with a bitmap of dirty pages.
#[test]
fn guest_memory_with_a_bitmap_is_memory() {
    let guest = GuestMemoryMmap::<AtomicBitmap>::from_ranges(&[(GuestAddress(0), 0x4000)]);
    let guest = guest.expect("guest memory");
    let container = not_a_container();
    for region in guest.iter() {
        let registered = container.register_memory(region.get_mmap()).map(drop);
        assert_eq!(registered.expect_err("none").errno(), Errno::ENOTTY);
        let registered = container
            .register_read_only_memory(region.get_mmap())
            .map(drop);
        assert_eq!(registered.expect_err("none").errno(), Errno::ENOTTY);
    }
}

/// Both kinds in one space; only that it compiles can be said without one.
#[allow(dead_code, reason = "it is compiled")]
fn memory_of_both_kinds_is_mapped(
    space: &AuxSpace,
    plain: &RegisteredMemory,
    tracked: &RegisteredMemory<AtomicBitmap>,
) -> vfio_pasid::Result<u64> {
    let page = |start| Iovas {
        start,
        size: 0x1000,
    };
    let first: Mapping<'_> = space.map(plain, 0, page(0), Access::READ)?;
    let second: Mapping<'_, AtomicBitmap> = space.map(tracked, 0, page(0x1000), Access::WRITE)?;
    Ok(first.iovas().start + second.memory().memory().size() as u64)
}
