import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;

/**
 * Decodes what our scheduler answers as strictly as a Java worker does: a plain mapper, which refuses members that it does not know. Reads lines
 * {"as": kind, "body": text} and writes, for each, "ok" or why not. The shapes are those of spec scheduler-api §5.
 */
final class Strict {
  static class Signature { public String value; }

  static class WorkerpoolAuthorization {
    public String chainTaskId;
    public String dealId;
    public int taskIndex;
    public String workerWallet;
    public String enclaveChallenge;
    public Signature signature;
  }

  static class ReplicateTaskSummary {
    public WorkerpoolAuthorization workerpoolAuthorization;
    public String smsUrl;
  }

  /** Of version 8. */
  static class WorkerpoolAuthorization8 {
    public String chainTaskId;
    public String workerWallet;
    public String enclaveChallenge;
    public Signature signature;
  }

  static class ReplicateTaskSummary8 {
    public WorkerpoolAuthorization8 workerpoolAuthorization;
    public String smsUrl;
  }

  static class PublicConfiguration {
    public String workerPoolAddress;
    public String schedulerPublicAddress;
    public String configServerUrl;
    public String resultRepositoryURL;
    public long askForReplicatePeriod;
    public String requiredWorkerVersion;
  }

  /** Of version 8.4 and before; from 8.5 on there may be a configServerUrl too. */
  static class PublicConfiguration8 {
    public String workerPoolAddress;
    public String schedulerPublicAddress;
    public String blockchainAdapterUrl;
    public String resultRepositoryURL;
    public long askForReplicatePeriod;
    public String requiredWorkerVersion;
  }

  static class PublicChainConfig {
    public int chainId;
    public boolean sidechain;
    public String chainNodeUrl;
    public String iexecHubContractAddress;
    public String blockTime;
  }

  enum TaskAbortCause { CONTRIBUTION_TIMEOUT, CONSENSUS_REACHED, UNKNOWN }

  enum TaskNotificationType {
    PLEASE_CONTINUE, PLEASE_WAIT, PLEASE_START, PLEASE_DOWNLOAD_APP, PLEASE_DOWNLOAD_DATA, PLEASE_COMPUTE, PLEASE_CONTRIBUTE, PLEASE_REVEAL,
    PLEASE_UPLOAD, PLEASE_CONTRIBUTE_AND_FINALIZE, PLEASE_COMPLETE, PLEASE_ABORT
  }

  static class TaskNotificationExtra {
    public WorkerpoolAuthorization workerpoolAuthorization;
    public String smsUrl;
    public long blockNumber;
    public TaskAbortCause taskAbortCause;
  }

  static class TaskNotification {
    public String chainTaskId;
    public List<String> workersAddress;
    public TaskNotificationType taskNotificationType;
    public TaskNotificationExtra taskNotificationExtra;
  }

  static class TaskNotificationExtra8 {
    public WorkerpoolAuthorization8 workerpoolAuthorization;
    public String smsUrl;
    public long blockNumber;
    public TaskAbortCause taskAbortCause;
  }

  static class TaskNotification8 {
    public String chainTaskId;
    public List<String> workersAddress;
    public TaskNotificationType taskNotificationType;
    public TaskNotificationExtra8 taskNotificationExtra;
  }

  private static final ObjectMapper STRICT = new ObjectMapper();
  private static final ObjectMapper LENIENT = new ObjectMapper().disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES);

  private static void decode(String kind, String body) throws Exception {
    switch (kind) {
      case "configuration" -> need(STRICT.readValue(body, PublicConfiguration.class).requiredWorkerVersion);
      case "configuration 8" -> need(STRICT.readValue(body, PublicConfiguration8.class).blockchainAdapterUrl);
      case "chain" -> need(STRICT.readValue(body, PublicChainConfig.class).iexecHubContractAddress);
      case "summary" -> need(STRICT.readValue(body, ReplicateTaskSummary.class).workerpoolAuthorization.signature.value);
      case "summary 8" -> need(STRICT.readValue(body, ReplicateTaskSummary8.class).workerpoolAuthorization.signature.value);
      case "interrupted 8" -> STRICT.readValue(body, new TypeReference<List<TaskNotification8>>() {}).forEach(one -> need(one.taskNotificationType));
      case "interrupted" -> STRICT.readValue(body, new TypeReference<List<TaskNotification>>() {}).forEach(one -> need(one.taskNotificationType));
      case "action" -> need(STRICT.readValue(body, TaskNotificationType.class));
      case "computing" -> STRICT.readValue(body, new TypeReference<List<String>>() {});
      case "push" -> need(LENIENT.readValue(body, TaskNotification.class).workersAddress);
      default -> throw new IllegalArgumentException("no such kind: " + kind);
    }
  }

  private static void need(Object value) {
    if (value == null) throw new IllegalStateException("a member is null that must not be");
  }

  public static void main(String[] args) throws Exception {
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      JsonNode asked = STRICT.readTree(line);
      try {
        decode(asked.get("as").asText(), asked.get("body").asText());
        System.out.println("ok");
      } catch (Exception refused) {
        System.out.println(refused.getMessage().lines().findFirst().orElse("refused"));
      }
    }
  }
}
