//! Why a replicate did not reach the status it should have reached (spec scheduler-api §5.7).
//!
//! A cause that this version does not know is kept as the text that came, so that a newer worker can report to an older
//! scheduler; the original answers 400.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! causes {
    ($($variant:ident = $name:literal,)+) => {
        /// Why a replicate did not get where it should have.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ReplicateStatusCause {
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )+
            /// A cause that this version does not know, as it came.
            Other(String),
        }

        impl ReplicateStatusCause {
            /// Every cause with a name of its own, in the order of the original.
            pub const KNOWN: &[Self] = &[$(Self::$variant),+];

            /// The name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other(name) => name,
                }
            }
        }

        impl FromStr for ReplicateStatusCause {
            type Err = Infallible;

            fn from_str(name: &str) -> Result<Self, Infallible> {
                Ok(match name {
                    $($name => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                })
            }
        }
    };
}

causes! {
    // chain
    ChainUnreachable = "CHAIN_UNREACHABLE",
    BlockNotReached = "BLOCK_NOT_REACHED",
    StakeTooLow = "STAKE_TOO_LOW",
    OutOfGas = "OUT_OF_GAS",
    TaskNotActive = "TASK_NOT_ACTIVE",
    TaskDescriptionInvalid = "TASK_DESCRIPTION_INVALID",
    TaskDescriptionNotFound = "TASK_DESCRIPTION_NOT_FOUND",
    ContributionAlreadySet = "CONTRIBUTION_ALREADY_SET",
    ConsensusReached = "CONSENSUS_REACHED",
    ChainReceiptNotValid = "CHAIN_RECEIPT_NOT_VALID",
    ConsensusBlockMissing = "CONSENSUS_BLOCK_MISSING",
    // download
    AppImageDownloadFailed = "APP_IMAGE_DOWNLOAD_FAILED",
    InputFilesDownloadFailed = "INPUT_FILES_DOWNLOAD_FAILED",
    DatasetFileDownloadFailed = "DATASET_FILE_DOWNLOAD_FAILED",
    DatasetFileBadChecksum = "DATASET_FILE_BAD_CHECKSUM",
    // TEE session
    TeeSessionGenerationInvalidAuthorization = "TEE_SESSION_GENERATION_INVALID_AUTHORIZATION",
    TeeSessionGenerationExecutionNotAuthorizedEmptyParamsUnauthorized = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_EMPTY_PARAMS_UNAUTHORIZED",
    TeeSessionGenerationExecutionNotAuthorizedNoMatchOnchainType = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_NO_MATCH_ONCHAIN_TYPE",
    TeeSessionGenerationExecutionNotAuthorizedGetChainTaskFailed = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_GET_CHAIN_TASK_FAILED",
    TeeSessionGenerationExecutionNotAuthorizedTaskNotActive = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_TASK_NOT_ACTIVE",
    TeeSessionGenerationExecutionNotAuthorizedGetChainDealFailed = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_GET_CHAIN_DEAL_FAILED",
    TeeSessionGenerationExecutionNotAuthorizedInvalidSignature = "TEE_SESSION_GENERATION_EXECUTION_NOT_AUTHORIZED_INVALID_SIGNATURE",
    TeeSessionGenerationGetSignatureTokensFailedEmptyWorkerAddress = "TEE_SESSION_GENERATION_GET_SIGNATURE_TOKENS_FAILED_EMPTY_WORKER_ADDRESS",
    TeeSessionGenerationGetSignatureTokensFailedEmptyPublicEnclaveChallenge = "TEE_SESSION_GENERATION_GET_SIGNATURE_TOKENS_FAILED_EMPTY_PUBLIC_ENCLAVE_CHALLENGE",
    TeeSessionGenerationGetSignatureTokensFailedEmptyTeeChallenge = "TEE_SESSION_GENERATION_GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CHALLENGE",
    TeeSessionGenerationGetSignatureTokensFailedEmptyTeeCredentials = "TEE_SESSION_GENERATION_GET_SIGNATURE_TOKENS_FAILED_EMPTY_TEE_CREDENTIALS",
    TeeSessionGenerationPreComputeGetDatasetSecretFailed = "TEE_SESSION_GENERATION_PRE_COMPUTE_GET_DATASET_SECRET_FAILED",
    TeeSessionGenerationAppComputeNoEnclaveConfig = "TEE_SESSION_GENERATION_APP_COMPUTE_NO_ENCLAVE_CONFIG",
    TeeSessionGenerationAppComputeInvalidEnclaveConfig = "TEE_SESSION_GENERATION_APP_COMPUTE_INVALID_ENCLAVE_CONFIG",
    TeeSessionGenerationPostComputeGetEncryptionTokensFailedEmptyBeneficiaryKey = "TEE_SESSION_GENERATION_POST_COMPUTE_GET_ENCRYPTION_TOKENS_FAILED_EMPTY_BENEFICIARY_KEY",
    TeeSessionGenerationPostComputeGetStorageTokensFailed = "TEE_SESSION_GENERATION_POST_COMPUTE_GET_STORAGE_TOKENS_FAILED",
    TeeSessionGenerationSecureSessionStorageCallFailed = "TEE_SESSION_GENERATION_SECURE_SESSION_STORAGE_CALL_FAILED",
    TeeSessionGenerationSecureSessionGenerationFailed = "TEE_SESSION_GENERATION_SECURE_SESSION_GENERATION_FAILED",
    TeeSessionGenerationSecureSessionNoTeeFramework = "TEE_SESSION_GENERATION_SECURE_SESSION_NO_TEE_FRAMEWORK",
    TeeSessionGenerationGetTaskDescriptionFailed = "TEE_SESSION_GENERATION_GET_TASK_DESCRIPTION_FAILED",
    TeeSessionGenerationNoSessionRequest = "TEE_SESSION_GENERATION_NO_SESSION_REQUEST",
    TeeSessionGenerationNoTaskDescription = "TEE_SESSION_GENERATION_NO_TASK_DESCRIPTION",
    TeeSessionGenerationUnknownIssue = "TEE_SESSION_GENERATION_UNKNOWN_ISSUE",
    // compute
    AppNotFoundLocally = "APP_NOT_FOUND_LOCALLY",
    AppComputeFailed = "APP_COMPUTE_FAILED",
    AppComputeTimeout = "APP_COMPUTE_TIMEOUT",
    // pre-compute
    PreComputeMissingEnclaveConfiguration = "PRE_COMPUTE_MISSING_ENCLAVE_CONFIGURATION",
    PreComputeInvalidEnclaveConfiguration = "PRE_COMPUTE_INVALID_ENCLAVE_CONFIGURATION",
    PreComputeInvalidEnclaveHeapConfiguration = "PRE_COMPUTE_INVALID_ENCLAVE_HEAP_CONFIGURATION",
    PreComputeImageMissing = "PRE_COMPUTE_IMAGE_MISSING",
    PreComputeTaskIdMissing = "PRE_COMPUTE_TASK_ID_MISSING",
    PreComputeExitReportingFailed = "PRE_COMPUTE_EXIT_REPORTING_FAILED",
    PreComputeTimeout = "PRE_COMPUTE_TIMEOUT",
    PreComputeWorkerAddressMissing = "PRE_COMPUTE_WORKER_ADDRESS_MISSING",
    PreComputeTeeChallengePrivateKeyMissing = "PRE_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING",
    PreComputeInvalidTeeSignature = "PRE_COMPUTE_INVALID_TEE_SIGNATURE",
    PreComputeOutputPathMissing = "PRE_COMPUTE_OUTPUT_PATH_MISSING",
    PreComputeIsDatasetRequiredMissing = "PRE_COMPUTE_IS_DATASET_REQUIRED_MISSING",
    PreComputeDatasetUrlMissing = "PRE_COMPUTE_DATASET_URL_MISSING",
    PreComputeDatasetKeyMissing = "PRE_COMPUTE_DATASET_KEY_MISSING",
    PreComputeDatasetChecksumMissing = "PRE_COMPUTE_DATASET_CHECKSUM_MISSING",
    PreComputeDatasetFilenameMissing = "PRE_COMPUTE_DATASET_FILENAME_MISSING",
    PreComputeInputFilesNumberMissing = "PRE_COMPUTE_INPUT_FILES_NUMBER_MISSING",
    PreComputeAtLeastOneInputFileUrlMissing = "PRE_COMPUTE_AT_LEAST_ONE_INPUT_FILE_URL_MISSING",
    PreComputeOutputFolderNotFound = "PRE_COMPUTE_OUTPUT_FOLDER_NOT_FOUND",
    PreComputeDatasetDownloadFailed = "PRE_COMPUTE_DATASET_DOWNLOAD_FAILED",
    PreComputeInvalidDatasetChecksum = "PRE_COMPUTE_INVALID_DATASET_CHECKSUM",
    PreComputeDatasetDecryptionFailed = "PRE_COMPUTE_DATASET_DECRYPTION_FAILED",
    PreComputeSavingPlainDatasetFailed = "PRE_COMPUTE_SAVING_PLAIN_DATASET_FAILED",
    PreComputeInputFileDownloadFailed = "PRE_COMPUTE_INPUT_FILE_DOWNLOAD_FAILED",
    PreComputeFailedUnknownIssue = "PRE_COMPUTE_FAILED_UNKNOWN_ISSUE",
    // post-compute
    PostComputeImageMissing = "POST_COMPUTE_IMAGE_MISSING",
    PostComputeTaskIdMissing = "POST_COMPUTE_TASK_ID_MISSING",
    PostComputeExitReportingFailed = "POST_COMPUTE_EXIT_REPORTING_FAILED",
    PostComputeTimeout = "POST_COMPUTE_TIMEOUT",
    PostComputeWorkerAddressMissing = "POST_COMPUTE_WORKER_ADDRESS_MISSING",
    PostComputeTeeChallengePrivateKeyMissing = "POST_COMPUTE_TEE_CHALLENGE_PRIVATE_KEY_MISSING",
    PostComputeInvalidTeeSignature = "POST_COMPUTE_INVALID_TEE_SIGNATURE",
    PostComputeEncryptionPublicKeyMissing = "POST_COMPUTE_ENCRYPTION_PUBLIC_KEY_MISSING",
    PostComputeMalformedEncryptionPublicKey = "POST_COMPUTE_MALFORMED_ENCRYPTION_PUBLIC_KEY",
    PostComputeEncryptionFailed = "POST_COMPUTE_ENCRYPTION_FAILED",
    PostComputeStorageTokenMissing = "POST_COMPUTE_STORAGE_TOKEN_MISSING",
    PostComputeComputedFileNotFound = "POST_COMPUTE_COMPUTED_FILE_NOT_FOUND",
    PostComputeResultDigestComputationFailed = "POST_COMPUTE_RESULT_DIGEST_COMPUTATION_FAILED",
    PostComputeOutFolderZipFailed = "POST_COMPUTE_OUT_FOLDER_ZIP_FAILED",
    PostComputeTooLongResultFileName = "POST_COMPUTE_TOO_LONG_RESULT_FILE_NAME",
    PostComputeResultFileNotFound = "POST_COMPUTE_RESULT_FILE_NOT_FOUND",
    PostComputeDropboxUploadFailed = "POST_COMPUTE_DROPBOX_UPLOAD_FAILED",
    PostComputeIpfsUploadFailed = "POST_COMPUTE_IPFS_UPLOAD_FAILED",
    PostComputeSendComputedFileFailed = "POST_COMPUTE_SEND_COMPUTED_FILE_FAILED",
    PostComputeFailedUnknownIssue = "POST_COMPUTE_FAILED_UNKNOWN_ISSUE",
    // contribute
    TeeNotSupported = "TEE_NOT_SUPPORTED",
    DeterminismHashNotFound = "DETERMINISM_HASH_NOT_FOUND",
    EnclaveSignatureNotFound = "ENCLAVE_SIGNATURE_NOT_FOUND",
    WorkerpoolAuthorizationNotFound = "WORKERPOOL_AUTHORIZATION_NOT_FOUND",
    // upload
    ResultLinkMissing = "RESULT_LINK_MISSING",
    // contribute and finalize
    TrustNot1 = "TRUST_NOT_1",
    TaskAlreadyContributed = "TASK_ALREADY_CONTRIBUTED",
    // timeout
    ContributionTimeout = "CONTRIBUTION_TIMEOUT",
    RevealTimeout = "REVEAL_TIMEOUT",
    // other
    TeePreparationFailed = "TEE_PREPARATION_FAILED",
    UnknownSms = "UNKNOWN_SMS",
    GetTeeServicesConfigurationFailed = "GET_TEE_SERVICES_CONFIGURATION_FAILED",
    AbortedByWorker = "ABORTED_BY_WORKER",
    CannotReveal = "CANNOT_REVEAL",
    Unknown = "UNKNOWN",
}

impl fmt::Display for ReplicateStatusCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ReplicateStatusCause {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for ReplicateStatusCause {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        match name.parse() {
            Ok(cause) => Ok(cause),
            Err(never) => match never {},
        }
    }
}

impl From<super::TaskAbortCause> for ReplicateStatusCause {
    /// The cause of the same name (spec worker §3.9).
    fn from(cause: super::TaskAbortCause) -> Self {
        match cause {
            super::TaskAbortCause::ContributionTimeout => Self::ContributionTimeout,
            super::TaskAbortCause::ConsensusReached => Self::ConsensusReached,
            super::TaskAbortCause::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_cause_reads_back_from_its_name() {
        for cause in ReplicateStatusCause::KNOWN {
            assert_eq!(
                &cause.name().parse::<ReplicateStatusCause>().unwrap(),
                cause
            );
        }
        assert_eq!(ReplicateStatusCause::KNOWN.len(), 101);
    }

    #[test]
    fn a_cause_of_a_newer_worker_is_kept_as_it_came() {
        let cause: ReplicateStatusCause = serde_json::from_str("\"GPU_ON_FIRE\"").unwrap();
        assert_eq!(cause, ReplicateStatusCause::Other("GPU_ON_FIRE".to_owned()));
        assert_eq!(serde_json::to_string(&cause).unwrap(), "\"GPU_ON_FIRE\"");
    }
}
