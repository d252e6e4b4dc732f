//! Outages played in virtual time: the scheduler's machine and a model of kubelet, without a clock, a network or a pod.
//!
//! [`pod`] and [`pod_manifest`] say what a pod declares; [`kubelet`] what kubelet does with it; [`playback`] plays the
//! machine, [`timeline`] plays both through a [`scenario`]. [`matrix`], [`budget`], [`impact`] and [`advice`] say what
//! follows from a configuration. The command line renders what is found here; nothing here prints.

pub mod advice;
pub mod behind;
pub mod budget;
#[cfg(test)]
mod container_restarts;
mod guards;
pub mod impact;
mod inspection;
pub mod kubelet;
pub mod matrix;
pub mod pitfalls;
pub mod playback;
pub mod pod;
pub mod pod_manifest;
pub mod roles;
pub mod scenario;
#[cfg(test)]
pub(crate) mod thorough;
pub mod timeline;
