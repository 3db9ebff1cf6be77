//! Builds and signs transactions. All it needs comes as arguments; it sends nothing.

use alloy_consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, TxKind, U256};
use alloy_signer::SignerSync;
use alloy_signer_local::PrivateKeySigner;

use super::{fees::Offer, intent::Intent};

/// A signed transaction.
#[derive(Debug)]
pub(super) struct Signed {
    pub(super) hash: B256,
    pub(super) raw: Bytes,
    pub(super) offer: Offer,
}

/// Signs the intent's payload with value 0 (spec onchain C4) for `chain_id` (EIP-155).
pub(super) fn sign(
    wallet: &PrivateKeySigner,
    chain_id: u64,
    intent: &Intent,
    nonce: u64,
    gas_limit: u64,
    offer: Offer,
) -> Result<Signed, alloy_signer::Error> {
    let to = TxKind::Call(intent.to);
    let input = intent.calldata.clone();
    let (hash, raw) = match offer {
        Offer::Dynamic { max_fee, tip } => sealed(
            wallet,
            TxEip1559 {
                chain_id,
                nonce,
                gas_limit,
                max_fee_per_gas: max_fee,
                max_priority_fee_per_gas: tip,
                to,
                value: U256::ZERO,
                access_list: Default::default(),
                input,
            },
        )?,
        Offer::Legacy { price } => sealed(
            wallet,
            TxLegacy {
                chain_id: Some(chain_id),
                nonce,
                gas_price: price,
                gas_limit,
                to,
                value: U256::ZERO,
                input,
            },
        )?,
    };
    Ok(Signed { hash, raw, offer })
}

fn sealed<T>(wallet: &PrivateKeySigner, tx: T) -> Result<(B256, Bytes), alloy_signer::Error>
where
    T: SignableTransaction<Signature>,
    alloy_consensus::Signed<T>: Encodable2718,
{
    let signature = wallet.sign_hash_sync(&tx.signature_hash())?;
    let raw: Bytes = tx.into_signed(signature).encoded_2718().into();
    Ok((alloy_primitives::keccak256(&raw), raw))
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{Address, address, bytes};

    use super::*;
    use crate::GasPolicy;

    /// The key of the vectors of spec onchain B11.
    const KEY: &str = "0x92db14e403b83dfe3df233f83dfa3a0d7096f21ca9b0d6d6b8d88b2b4ec1564e";

    fn initialize(to: Address) -> Intent {
        Intent {
            key: "initialize".into(),
            to,
            calldata: bytes!(
                "5b36c66bdeb3cb4f0135ca5915df87ffbd034bff57f898e1b932060a89d3571e776efdab0000000000000000000000000000000000000000000000000000000000000000"
            ),
            gas: GasPolicy::estimated(),
            deadline: None,
        }
    }

    #[test]
    fn a_legacy_transaction_has_the_bytes_of_the_original_stack() {
        let wallet: PrivateKeySigner = KEY.parse().unwrap();
        let hub = address!("B2157BF2fAb286b2A4170E3491Ac39770111Da3E");
        let price = 100_000_000;
        let signed = sign(
            &wallet,
            421_614,
            &initialize(hub),
            7,
            300_000,
            Offer::Legacy { price },
        )
        .unwrap();
        assert_eq!(
            signed.raw.to_string(),
            "0xf8ac078405f5e100830493e094b2157bf2fab286b2a4170e3491ac39770111da3e80b8445b36c66bdeb3cb4f0135ca5915df87ffbd034bff57f898e1b932060a89d3571e776efdab0000000000000000000000000000000000000000000000000000000000000000830cddffa0a9d43e8bd997f78c7377d525eb6519da94bcc77fefcf5389ad06f7416e33d06ca066205dc184cf7c70ecd668f2a80d5743bb148156450faa67fdfcbf6f75c0d70a"
        );
    }

    #[test]
    fn a_legacy_transaction_with_free_gas_has_the_bytes_of_the_original_stack() {
        let wallet: PrivateKeySigner = KEY.parse().unwrap();
        let hub = address!("3eca1B216A7DF1C7689aEb259fFB83ADFB894E7f");
        let free = Offer::Legacy { price: 0 };
        let signed = sign(&wallet, 134, &initialize(hub), 0, 300_000, free).unwrap();
        assert_eq!(
            signed.raw.to_string(),
            "0xf8a78080830493e0943eca1b216a7df1c7689aeb259ffb83adfb894e7f80b8445b36c66bdeb3cb4f0135ca5915df87ffbd034bff57f898e1b932060a89d3571e776efdab0000000000000000000000000000000000000000000000000000000000000000820130a060bd15f2ed29f0e9f0ad346e84cae1721747308fd5a6456fe38fa9e1a2ea637ba02281f43f6f795283166dd4ea943e721df1c04805b3ffde22182d225d9b769714"
        );
    }
}
