//! How tightly a container is held (spec `worker.md` S6). One function makes the engine's settings, so that what an application may do
//! can be read in one place. It never grants privileges, host namespaces, devices other than GPUs, the engine's socket, or a mount beside the task's own.

use std::collections::HashMap;
use std::path::Path;

use bollard::models::{DeviceRequest, HostConfig, HostConfigLogConfig};
use serde::{Deserialize, Serialize};

use super::sandbox::Place;

/// Where an application finds its inputs.
pub const CONTAINER_INPUT: &str = "/iexec_in";
/// Where an application leaves its results.
pub const CONTAINER_OUTPUT: &str = "/iexec_out";

/// What images commonly need to start as root and become another user; everything else is dropped.
pub const KEPT_CAPABILITIES: [&str; 7] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "SETGID",
    "SETUID",
    "KILL",
    "NET_BIND_SERVICE",
];

/// How tightly applications are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// Few capabilities, no new privileges, limits, a network of the slot's own.
    Default,
    /// As the original does it: the engine's defaults and its default bridge. For applications that need more than the default gives.
    Compat,
}

/// What one application may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory; swap is not added to it.
    pub memory: u64,
    /// Processes and threads.
    pub pids: u32,
    /// Thousandths of a processor.
    pub milli_cpus: u64,
    /// Bytes that the output folder, and apart from it the container's own layer, may take.
    pub disk: u64,
    /// Bytes that both output streams together may carry.
    pub logs: u64,
}

/// The engine's settings for one application.
#[must_use]
pub fn host_config(
    profile: Profile,
    limits: &Limits,
    input: &Path,
    output: &Path,
    place: &Place,
) -> HostConfig {
    let bind = |host: &Path, container: &str| format!("{}:{container}", host.display());
    let shared = HostConfig {
        binds: Some(vec![
            bind(input, CONTAINER_INPUT),
            bind(output, CONTAINER_OUTPUT),
        ]),
        log_config: Some(log_config(limits.logs)),
        network_mode: place.network.clone(),
        dns: (!place.dns.is_empty()).then(|| place.dns.clone()),
        ..HostConfig::default()
    };
    match profile {
        Profile::Compat => shared,
        Profile::Default => HostConfig {
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(
                KEPT_CAPABILITIES
                    .iter()
                    .map(|&name| name.to_owned())
                    .collect(),
            ),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            pids_limit: Some(i64::from(limits.pids)),
            memory: Some(signed(limits.memory)),
            memory_swap: Some(signed(limits.memory)),
            nano_cpus: Some(signed(limits.milli_cpus.saturating_mul(1_000_000))),
            ..shared
        },
    }
}

/// What gives an application every GPU of the machine: only for a deal that demands one, on a worker that offers one (Q36).
#[must_use]
pub(super) fn all_gpus() -> Vec<DeviceRequest> {
    vec![DeviceRequest {
        count: Some(-1),
        capabilities: Some(vec![vec!["gpu".to_owned()]]),
        ..DeviceRequest::default()
    }]
}

/// Bytes that the engine's own copy of the streams may take in one of its three files. Larger than the cap because the engine keeps
/// them as JSON: [`super::spool`] counts what that costs, and stops a container before the engine drops its oldest lines.
#[must_use]
pub(super) fn engine_log_bytes(cap: u64) -> u64 {
    cap.saturating_mul(8).max(1 << 20)
}

fn log_config(cap: u64) -> HostConfigLogConfig {
    let options = [
        ("max-size", engine_log_bytes(cap).to_string()),
        ("max-file", "3".to_owned()),
    ];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(
            options
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<HashMap<_, _>>(),
        ),
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            memory: 1 << 30,
            pids: 64,
            milli_cpus: 1500,
            disk: 1 << 30,
            logs: 1 << 20,
        }
    }

    #[test]
    fn the_default_profile_drops_what_images_do_not_need() {
        let config = host_config(
            Profile::Default,
            &limits(),
            Path::new("/t/input"),
            Path::new("/t/out"),
            &Place {
                network: Some("net".to_owned()),
                dns: vec!["9.9.9.9".to_owned()],
            },
        );
        assert_eq!(config.cap_drop, Some(vec!["ALL".to_owned()]));
        assert!(
            !config
                .cap_add
                .unwrap()
                .iter()
                .any(|cap| cap == "NET_RAW" || cap == "SYS_CHROOT" || cap == "MKNOD")
        );
        assert_eq!(
            config.security_opt,
            Some(vec!["no-new-privileges".to_owned()])
        );
        assert_eq!(
            (config.memory, config.memory_swap),
            (Some(1 << 30), Some(1 << 30))
        );
        assert_eq!(
            (config.pids_limit, config.nano_cpus),
            (Some(64), Some(1_500_000_000))
        );
        assert_eq!(config.network_mode.as_deref(), Some("net"));
        assert_eq!(config.dns, Some(vec!["9.9.9.9".to_owned()]));
    }

    #[test]
    fn the_compat_profile_leaves_containers_as_the_engine_makes_them() {
        let config = host_config(
            Profile::Compat,
            &limits(),
            Path::new("/t/input"),
            Path::new("/t/out"),
            &Place::default(),
        );
        assert_eq!(
            (config.cap_drop, config.cap_add, config.security_opt),
            (None, None, None)
        );
        assert_eq!(
            (config.memory, config.memory_swap, config.nano_cpus),
            (None, None, None)
        );
        assert_eq!((config.pids_limit, config.privileged), (None, None));
    }

    #[test]
    fn only_the_tasks_own_folders_are_mounted_whatever_the_profile() {
        for profile in [Profile::Default, Profile::Compat] {
            let config = host_config(
                profile,
                &limits(),
                Path::new("/t/input"),
                Path::new("/t/out"),
                &Place::default(),
            );
            assert_eq!(
                config.binds,
                Some(vec![
                    "/t/input:/iexec_in".to_owned(),
                    "/t/out:/iexec_out".to_owned()
                ])
            );
            assert_eq!(
                (
                    config.privileged,
                    config.mounts,
                    config.devices,
                    config.pid_mode
                ),
                (None, None, None, None)
            );
        }
    }
}
