//! What a task demands of the machine that computes it, and which machines have it.

use poco::tag::{Tag, TeeFramework};

use crate::input::WorkerProfile;

/// A demand. Ordered by how few machines meet it: the plain one comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Demand {
    /// An enclave of this technology.
    tee: Option<TeeFramework>,
    /// A graphics processor.
    gpu: bool,
}

impl Demand {
    /// Every demand there is.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let enclaves = TeeFramework::ALL.into_iter().map(Some);
        std::iter::once(None)
            .chain(enclaves)
            .flat_map(|tee| [false, true].map(|gpu| Self { tee, gpu }))
    }

    pub(crate) fn of(tag: Tag) -> Self {
        Self {
            tee: tag.tee_framework(),
            gpu: tag.gpu(),
        }
    }

    /// Whether the machine has it, by what it says of itself (spec scheduler-api §3.7, excluded tags; Q26).
    pub(crate) const fn is_met_by(self, profile: &WorkerProfile) -> bool {
        let enclave = match self.tee {
            None => true,
            Some(TeeFramework::Scone | TeeFramework::Gramine) => profile.sgx,
            Some(TeeFramework::Tdx) => profile.tdx,
        };
        enclave && (!self.gpu || profile.gpu)
    }

    /// The least tag with this demand.
    pub(crate) fn tag(self) -> Tag {
        let enclave = self.tee.map_or(Tag::NONE, TeeFramework::tag);
        let gpu = if self.gpu { Tag::GPU } else { Tag::NONE };
        Tag(enclave.0 | gpu.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_what_it_says_it_has() {
        let machine = |gpu, sgx, tdx| WorkerProfile {
            gpu,
            sgx,
            tdx,
            ..WorkerProfile::default()
        };
        let met = |tag| {
            let mut by = String::new();
            for (name, machine) in [
                ("plain ", machine(false, false, false)),
                ("gpu ", machine(true, false, false)),
                ("sgx ", machine(false, true, false)),
                ("tdx ", machine(false, false, true)),
            ] {
                if Demand::of(tag).is_met_by(&machine) {
                    by += name;
                }
            }
            by
        };
        assert_eq!(met(Tag::NONE), "plain gpu sgx tdx ");
        assert_eq!(met(Tag::GPU), "gpu ");
        assert_eq!(met(Tag::SCONE), "sgx ");
        assert_eq!(met(Tag::GRAMINE), "sgx ");
        assert_eq!(met(Tag::TDX), "tdx ");
        assert_eq!(met(Tag(Tag::TDX.0 | Tag::GPU.0)), "");
    }

    #[test]
    fn a_demand_says_its_tag() {
        for tag in [
            Tag::NONE,
            Tag::GPU,
            Tag::SCONE,
            Tag(Tag::TDX.0 | Tag::GPU.0),
        ] {
            assert_eq!(Demand::of(tag).tag(), tag);
        }
    }
}
