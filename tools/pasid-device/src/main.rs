// SPDX-License-Identifier: Apache-2.0 OR MIT

//! Serves one PASID-capable PCIe test device to one QEMU.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pasid_device::config::Model;
use pasid_device::qemu::Qemu;
use pasid_device::server::Listener;

/// A PASID-capable PCIe test device for QEMU, as a vfio-user server.
///
/// Start it before QEMU; it ends when QEMU disconnects. QEMU needs guest memory in a shared
/// file, a VT-d unit with caching-mode=on, a monitor for this server alone, and the device:
///
///   -object memory-backend-file,id=ram0,size=1G,mem-path=FILE,share=on
///   -machine q35,kernel-irqchip=split,memory-backend=ram0
///   -device intel-iommu,intremap=on,scalable-mode=on,pasid-bits=20,caching-mode=on
///   -qmp unix:MONITOR,server=on,wait=off
///   -device '{"driver":"vfio-user-pci","id":"ID","socket":{"type":"unix","path":"SOCKET"}}'
#[derive(Parser)]
#[command(version, verbatim_doc_comment)]
struct Options {
    /// Socket to make, for QEMU to connect to
    #[arg(long)]
    socket: PathBuf,

    /// QEMU's monitor (QMP) socket, from which the device learns its bus number, the VT-d
    /// registers and the guest's memory
    #[arg(long, value_name = "MONITOR")]
    qmp: PathBuf,

    /// The device's id= on QEMU's command line
    #[arg(long)]
    id: String,

    /// Bits of a PASID, 1 to 20
    #[arg(long, value_name = "BITS", default_value_t = 20,
          value_parser = clap::value_parser!(u8).range(1..=20))]
    pasid_width: u8,

    /// No PASID capability
    #[arg(long, conflicts_with = "pasid_width")]
    no_pasid: bool,

    /// No End-End TLP prefix support, without which PASIDs cannot be enabled
    #[arg(long)]
    no_tlp_prefix: bool,

    /// An ATS capability
    #[arg(long)]
    ats: bool,

    /// Keep translations until QEMU's trace, with the event vtd_inv_desc, says that they are
    /// invalid
    #[arg(long, value_name = "TRACE", requires = "ats")]
    keeps_translations: Option<PathBuf>,

    /// Take the remapping unit for one that can walk the tables of processes (CAP.FS5LP,
    /// ECAP.SMPWC), whatever QEMU says
    #[arg(long)]
    walks_processes: bool,

    /// A page request interface, which wants QEMU's qtest socket, by which the device puts its
    /// requests into the unit's queue; of one device in a machine
    #[arg(long, value_name = "QTEST", requires = "ats")]
    pri: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let socket = options.socket.display();
    let model = Model {
        pasid_width: (!options.no_pasid).then_some(options.pasid_width),
        tlp_prefix: !options.no_tlp_prefix,
        ats: options.ats,
        pri: options.pri.is_some(),
    };
    let listener = match Listener::new(&options.socket) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("pasid-device: error: {socket}: {error}; if no server uses it, remove it");
            return ExitCode::FAILURE;
        }
    };
    eprintln!("pasid-device: {}: listening on {socket}", options.id);
    let mut qemu = Qemu::new(options.qmp, options.id.clone());
    if options.walks_processes {
        qemu.walks_processes();
    }
    if let Some(trace) = options.keeps_translations {
        qemu.keeps_translations(trace);
    }
    if let Some(qtest) = options.pri {
        qemu.page_requests(qtest);
    }
    match listener.run(model, qemu) {
        Ok(()) => {
            eprintln!("pasid-device: {}: QEMU disconnected, done", options.id);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("pasid-device: {}: error: {error}", options.id);
            ExitCode::FAILURE
        }
    }
}
