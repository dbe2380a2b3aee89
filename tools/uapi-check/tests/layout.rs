// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The Rust side of the uapi against the C header: a C compiler says what the header means.

#![allow(clippy::expect_used, reason = "a test that cannot go on has failed")]

mod c;

use std::{
    collections::BTreeMap,
    mem::{offset_of, size_of},
    process::Command,
};

use vfio_pasid::uapi::*;

/// What is compared: the same expressions in Rust and in C, as `(text of the C expression, value
/// in Rust)`.
macro_rules! constants {
    ($($name:ident),*) => { vec![$((stringify!($name).to_owned(), u128::from($name))),*] };
}

macro_rules! structure {
    ($c:literal, $rust:ident, $($field:ident = $member:literal),*) => { vec![
        (format!("sizeof(struct {})", $c), size_of::<$rust>() as u128),
        $((
            format!("offsetof(struct {}, {})", $c, $member),
            offset_of!($rust, $field) as u128,
        )),*
    ] };
}

fn rust_side() -> Vec<(String, u128)> {
    let mut values = constants![
        VFIO_PASID_EXTENSION,
        VFIO_PASID_FEATURE_PASID,
        VFIO_PASID_FEATURE_AUX,
        VFIO_PASID_FEATURE_MEMORY,
        VFIO_PASID_FEATURE_WINDOW,
        VFIO_PASID_FEATURE_HOT_RESET,
        VFIO_PASID_FEATURE_OWN_SPACE,
        VFIO_PASID_FEATURE_PROCESS,
        VFIO_AUX_OWN_SPACE,
        VFIO_IOMMU_PASID_REQUEST,
        VFIO_IOMMU_FLAG_ALLOC_PASID,
        VFIO_IOMMU_FLAG_FREE_PASID,
        VFIO_IOMMU_PASID_INFO,
        VFIO_PASID_NO_GROUP,
        VFIO_PASID_CAP_EXEC,
        VFIO_PASID_CAP_PRIV,
        VFIO_PASID_CAP_SVA,
        VFIO_PASID_CAP_PRI,
        VFIO_PASID_CAP_ATS,
        VFIO_PASID_CAP_SVA_IOMMU,
        VFIO_PASID_CAP_SVA_ALLOWED,
        VFIO_IOMMU_REGISTER_MEMORY,
        VFIO_IOMMU_UNREGISTER_MEMORY,
        VFIO_MEMORY_READ_ONLY,
        VFIO_IOMMU_AUX_CREATE,
        VFIO_AUX_FIXED_PASID,
        VFIO_AUX_PROCESS,
        VFIO_IOMMU_AUX_DESTROY,
        VFIO_IOMMU_AUX_ATTACH,
        VFIO_IOMMU_AUX_DETACH,
        VFIO_IOMMU_AUX_MAP,
        VFIO_AUX_MAP_READ,
        VFIO_AUX_MAP_WRITE,
        VFIO_IOMMU_AUX_UNMAP,
        VFIO_AUX_UNMAP_ALL,
        VFIO_IOMMU_AUX_INFO,
        VFIO_AUX_INFO_PROCESS,
        VFIO_AUX_ENTRY_HOLE,
        VFIO_AUX_ENTRY_GROUP,
        VFIO_AUX_ENTRY_MAPPING,
        VFIO_IOMMU_SETUP,
        VFIO_IOMMU_HOT_RESET_INFO
    ];
    values.extend(structure!(
        "vfio_iommu_type1_pasid_request",
        PasidRequest,
        argsz = "argsz",
        flags = "flags",
        min = "range.min",
        max = "range.max"
    ));
    values.extend(structure!(
        "vfio_iommu_pasid_info",
        PasidInfo,
        argsz = "argsz",
        flags = "flags",
        group = "group",
        quota = "quota",
        used = "used",
        width = "width",
        caps = "caps",
        reserved = "reserved"
    ));
    values.extend(structure!(
        "vfio_iommu_register_memory",
        RegisterMemory,
        argsz = "argsz",
        flags = "flags",
        vaddr = "vaddr",
        size = "size"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_create",
        AuxCreate,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        reserved = "reserved",
        iova_start = "iova_start",
        iova_size = "iova_size",
        pgsize_bitmap = "pgsize_bitmap"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_destroy",
        AuxDestroy,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        reserved = "reserved"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_attach",
        AuxAttach,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        group = "group"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_map",
        AuxMap,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        reserved = "reserved",
        vaddr = "vaddr",
        iova = "iova",
        size = "size"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_unmap",
        AuxUnmap,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        reserved = "reserved",
        iova = "iova",
        size = "size"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_info",
        AuxInfo,
        argsz = "argsz",
        flags = "flags",
        pasid = "pasid",
        count = "count",
        iova_start = "iova_start",
        iova_size = "iova_size",
        pgsize_bitmap = "pgsize_bitmap",
        cursor = "cursor"
    ));
    values.extend(structure!(
        "vfio_iommu_aux_entry",
        AuxEntry,
        entry_type = "type",
        data = "data",
        iova = "iova",
        size = "size",
        vaddr = "vaddr"
    ));
    values.extend(structure!(
        "vfio_iommu_setup",
        Setup,
        argsz = "argsz",
        flags = "flags",
        iova_start = "iova_start",
        iova_size = "iova_size",
        pgsize_bitmap = "pgsize_bitmap"
    ));
    values.extend(structure!(
        "vfio_iommu_hot_reset_info",
        HotResetInfo,
        argsz = "argsz",
        flags = "flags",
        segment = "segment",
        bus = "bus",
        devfn = "devfn",
        count = "count"
    ));
    values.extend(structure!(
        "vfio_pci_dependent_device",
        HotResetDevice,
        devid = "devid",
        segment = "segment",
        bus = "bus",
        devfn = "devfn"
    ));
    values
}

/// What a C program that includes the header prints for the same expressions.
fn c_side(expressions: impl Iterator<Item = String>) -> BTreeMap<String, u128> {
    let mut source = "#include <stddef.h>\n#include <stdio.h>\n#include <sys/ioctl.h>\n\
                      #include <linux/vfio_pasid.h>\nint main(void)\n{\n"
        .to_owned();
    for expression in expressions {
        source += &format!(
            "\tprintf(\"%s=%llu\\n\", \"{expression}\", (unsigned long long)({expression}));\n"
        );
    }
    source += "\treturn 0;\n}\n";
    let program = c::compile("layout", &source);

    let output = Command::new(program).output().expect("the program runs");
    String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(|line| line.rsplit_once('=').expect("name=value"))
        .map(|(name, value)| (name.to_owned(), value.parse().expect("a number")))
        .collect()
}

#[test]
fn same_numbers_and_layouts_as_the_header() {
    let ours = rust_side();
    let theirs = c_side(ours.iter().map(|(name, _)| name.clone()));
    assert_eq!(ours.into_iter().collect::<BTreeMap<_, _>>(), theirs);
}

/// Whatever the header defines with a value is compared above, so that an addition to the header
/// is not forgotten here.
#[test]
fn nothing_of_the_header_is_missing() {
    let header = c::header();
    let ours = rust_side();
    let structures = header
        .lines()
        .filter_map(|line| line.strip_prefix("struct ")?.strip_suffix(" {"))
        .map(|name| format!("sizeof(struct {name})"));
    for name in c::defined_names().into_iter().chain(structures) {
        assert!(ours.iter().any(|(ours, _)| *ours == name), "{name}");
    }
}
