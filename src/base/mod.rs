//! The ground floor: clocks, names, quantities, secrets and the description of configuration keys.
//!
//! Nothing here knows of probes, HTTP or YAML. To add a unit or a word that several floors share, add a file.

pub mod alarm;
pub mod clock;
pub mod connection_tasks;
pub mod costly;
pub mod credentials;
pub mod decimal;
pub mod descriptors;
pub mod field;
pub mod grpc;
pub mod lane;
pub mod lateness;
pub mod matcher;
pub mod name;
pub mod pattern;
pub mod plain;
pub mod pointer;
pub mod processor;
pub mod quantity;
pub mod redact;
pub mod redactor;
pub mod secret;
pub mod thread;
pub mod token;
pub mod trace;
pub mod value;
