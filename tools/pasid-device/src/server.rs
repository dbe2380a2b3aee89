// SPDX-License-Identifier: Apache-2.0 OR MIT

//! The device as a vfio-user server.

use std::fs::File;
use std::io;
use std::mem::size_of;
use std::path::Path;
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::thread;

use vfio_bindings::bindings::vfio::{
    vfio_region_info, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_SET_ACTION_TRIGGER,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_BAR0_REGION_INDEX, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_NUM_IRQS, VFIO_PCI_NUM_REGIONS,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, Error, IrqInfo, Server, ServerBackend, ServerRegion};

use crate::config::{self, Model};
use crate::device::{Device, Transfer};
use crate::dma::{lock, serve, Platform};

/// A socket on which QEMU can find the device.
pub struct Listener(Server);

impl Listener {
    /// Makes the socket.
    pub fn new(socket: &Path) -> Result<Self, Error> {
        Server::new(socket, true, irqs(), regions()).map(Self)
    }

    /// Waits for QEMU and serves it until it disconnects.
    pub fn run<P: Platform + Send + 'static>(
        &self,
        model: Model,
        mut platform: P,
    ) -> Result<(), Error> {
        let device = Arc::new(Mutex::new(Device::new(model)));
        let (transfers, queue) = channel();
        let worker = Arc::clone(&device);
        thread::spawn(move || serve(queue, &worker, &mut platform));

        match self.0.run(&mut Backend { device, transfers }) {
            // How a client that is killed disconnects.
            Err(Error::ReceiveWithFd(error)) if error.errno() == ECONNRESET => Ok(()),
            Err(Error::StreamWrite(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result,
        }
    }
}

const ECONNRESET: i32 = 104;

struct Backend {
    device: Arc<Mutex<Device>>,
    transfers: Sender<Transfer>,
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let device = lock(&self.device);
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX if device.config.read(offset, data) => Ok(()),
            VFIO_PCI_BAR0_REGION_INDEX => {
                device.registers.read(offset, data);
                Ok(())
            }
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut device = lock(&self.device);
        match region {
            VFIO_PCI_CONFIG_REGION_INDEX => device.write_config(offset, data),
            VFIO_PCI_BAR0_REGION_INDEX => {
                if let Some(transfer) = device.write_bar(offset, data) {
                    self.transfers.send(transfer).map_err(io::Error::other)?;
                }
            }
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        }
        Ok(())
    }

    // QEMU offers the memory that the device may reach through the emulated remapping unit.
    // The device is its own remapping unit and takes memory from the platform.
    fn dma_map(
        &mut self,
        _: DmaMapFlags,
        _: u64,
        _: u64,
        _: u64,
        _: Option<File>,
    ) -> io::Result<()> {
        Ok(())
    }

    fn dma_unmap(&mut self, _: DmaUnmapFlags, _: u64, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn reset(&mut self) -> io::Result<()> {
        lock(&self.device).reset();
        Ok(())
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        _start: u32,
        _count: u32,
        mut fds: Vec<File>,
    ) -> io::Result<()> {
        // Without a file descriptor the interrupt is switched off.
        if index == VFIO_PCI_MSI_IRQ_INDEX && flags & VFIO_IRQ_SET_ACTION_TRIGGER != 0 {
            let eventfd = if flags & VFIO_IRQ_SET_DATA_EVENTFD != 0 {
                fds.pop()
            } else {
                None
            };
            lock(&self.device).set_interrupt(eventfd);
        }
        Ok(())
    }
}

fn regions() -> Vec<ServerRegion> {
    let region = |index| {
        let size = match index {
            VFIO_PCI_CONFIG_REGION_INDEX => config::SIZE as u64,
            VFIO_PCI_BAR0_REGION_INDEX => config::BAR0_SIZE.into(),
            _ => 0,
        };
        let flags = match size {
            0 => 0,
            _ => VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE,
        };
        ServerRegion {
            region_info: vfio_region_info {
                argsz: size_of::<vfio_region_info>() as u32,
                flags,
                index,
                size,
                ..Default::default()
            },
            sparse_areas: Vec::new(),
            mmap_fd: None,
        }
    };
    (0..VFIO_PCI_NUM_REGIONS).map(region).collect()
}

/// MSI, and the one that reports errors of the bus: there are none, but QEMU warns without it.
fn irqs() -> Vec<IrqInfo> {
    let irq = |index| match index {
        VFIO_PCI_MSI_IRQ_INDEX | VFIO_PCI_ERR_IRQ_INDEX => IrqInfo {
            index,
            flags: VFIO_IRQ_INFO_EVENTFD,
            count: 1,
        },
        _ => IrqInfo {
            index,
            flags: 0,
            count: 0,
        },
    };
    (0..VFIO_PCI_NUM_IRQS).map(irq).collect()
}
