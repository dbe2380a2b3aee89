// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The server as a vfio-user client sees it.

#![allow(clippy::unwrap_used)]

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use pasid_device::config::{Model, BAR0_SIZE, SIZE};
use pasid_device::qemu::Qemu;
use pasid_device::server::Listener;
use pasid_device::status::{Refusal, BUSY};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_BAR0_REGION_INDEX,
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_ROM_REGION_INDEX,
};
use vfio_user::{Client, Error};

const BAR: u32 = VFIO_PCI_BAR0_REGION_INDEX;
const CONFIG: u32 = VFIO_PCI_CONFIG_REGION_INDEX;

struct Served {
    client: Client,
    socket: PathBuf,
    server: JoinHandle<Result<(), Error>>,
}

/// A server whose QEMU has no monitor.
fn serve(name: &str) -> Served {
    let socket = std::env::temp_dir().join(format!("pasid-device-{}-{name}", std::process::id()));
    let model = Model {
        pasid_width: Some(20),
        tlp_prefix: true,
        ats: false,
        pri: false,
    };
    let listener = Listener::new(&socket).unwrap();
    let qemu = Qemu::new(socket.with_extension("qmp"), "dev0".to_owned());
    let server = thread::spawn(move || listener.run(model, qemu));
    let client = Client::new(&socket).unwrap();
    Served {
        client,
        socket,
        server,
    }
}

impl Served {
    fn read(&mut self, region: u32, offset: u64) -> u32 {
        let mut data = [0; 4];
        self.client.region_read(region, offset, &mut data).unwrap();
        u32::from_le_bytes(data)
    }

    fn write(&mut self, region: u32, offset: u64, value: u32) {
        let data = value.to_le_bytes();
        self.client.region_write(region, offset, &data).unwrap();
    }

    /// Disconnects: the server ends and removes its socket.
    fn end(self) {
        self.client.shutdown().unwrap();
        assert!(self.server.join().unwrap().is_ok());
        assert!(!self.socket.exists());
    }
}

#[test]
fn regions_and_interrupts() {
    let served = serve("regions");
    let size = |index| served.client.region(index).map(|region| region.size);
    assert_eq!(size(CONFIG), Some(SIZE as u64));
    assert_eq!(size(BAR), Some(BAR0_SIZE.into()));
    assert_eq!(size(VFIO_PCI_ROM_REGION_INDEX), Some(0));
    served.end();
}

#[test]
fn a_request_without_monitor_fails_and_interrupts() {
    let mut served = serve("request");
    assert_eq!(served.read(CONFIG, 0), 0x5041_1234);
    served.write(CONFIG, 4, 4);

    let (interrupt, device_end) = UnixStream::pair().unwrap();
    interrupt
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
    let fds = [device_end.as_raw_fd()];
    let client = &mut served.client;
    client
        .set_irqs(VFIO_PCI_MSI_IRQ_INDEX, flags, 0, 1, &fds)
        .unwrap();

    served.write(BAR, 0x0c, 16);
    served.write(BAR, 0x18, 1);
    let mut count = [0; 8];
    std::io::Read::read_exact(&mut &interrupt, &mut count).unwrap();
    let status = served.read(BAR, 0x1c);
    assert_ne!(status, BUSY);
    assert_eq!(status, Refusal::NoPlatform as u32);
    served.end();
}

#[test]
fn reset_and_disconnect() {
    let mut served = serve("reset");
    served.write(BAR, 0x0c, 16);
    served.client.reset().unwrap();
    assert_eq!(served.read(BAR, 0x0c), 0);
    assert_eq!(served.read(BAR, 0x3c), 1);
    served.end();
}

#[test]
fn a_socket_is_not_taken_over() {
    let served = serve("taken");
    assert!(matches!(
        Listener::new(&served.socket),
        Err(Error::SocketPathExists)
    ));
    served.end();
}
