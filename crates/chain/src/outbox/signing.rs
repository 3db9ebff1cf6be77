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
    use serde_json::Value;

    use super::*;
    use crate::GasPolicy;

    /// The vectors of spec onchain B11.
    #[test]
    fn a_legacy_transaction_has_the_bytes_of_the_original_stack_also_where_gas_is_free() {
        let vectors: Vec<Value> =
            serde_json::from_str(include_str!("../../tests/vectors/transaction.json")).unwrap();
        assert_eq!(vectors.len(), 2);
        for vector in &vectors {
            let text = |member: &str| vector["inputs"][member].as_str().unwrap();
            let number = |member: &str| vector["inputs"][member].as_u64().unwrap();
            let wallet: PrivateKeySigner = text("privateKey").parse().unwrap();
            let intent = Intent {
                key: "initialize".into(),
                to: text("to").parse().unwrap(),
                calldata: text("data").parse().unwrap(),
                gas: GasPolicy::estimated(),
                deadline: None,
                joins: None,
            };
            let (gas_limit, price) = (text("gasLimit"), text("gasPrice"));
            let signed = sign(
                &wallet,
                number("chainId"),
                &intent,
                number("nonce"),
                gas_limit.parse().unwrap(),
                Offer::Legacy {
                    price: price.parse().unwrap(),
                },
            )
            .unwrap();
            let expected = |member: &str| vector["expected"][member].as_str().unwrap();
            assert_eq!(signed.raw.to_string(), expected("raw"), "{}", vector["id"]);
            assert_eq!(
                signed.hash.to_string(),
                expected("hash"),
                "{}",
                vector["id"]
            );
        }
    }
}
