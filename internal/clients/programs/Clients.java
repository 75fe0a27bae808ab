import com.azure.core.credential.TokenCredential;
import com.azure.core.credential.TokenRequestContext;
import com.azure.identity.DefaultAzureCredentialBuilder;
import com.azure.identity.ManagedIdentityCredentialBuilder;
import com.microsoft.aad.msal4j.ManagedIdentityApplication;
import com.microsoft.aad.msal4j.ManagedIdentityId;
import com.microsoft.aad.msal4j.ManagedIdentityParameters;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;

/** Clients of Microsoft Graph that know nothing of graphtoken, by azure-identity and MSAL for Java. See clients.py. */
public class Clients {
    static final String RESOURCE = "https://graph.microsoft.com";
    static final URI GRAPH = URI.create(System.getenv("GRAPH"));
    static final HttpClient HTTP = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static final ConcurrentLinkedQueue<String> failures = new ConcurrentLinkedQueue<>();
    static volatile boolean ended;

    /** The calls of one client. */
    static class Client extends Thread {
        final Callable<Callable<String>> make;
        final Set<String> tokens = new HashSet<>();
        int calls;

        Client(Callable<Callable<String>> make) {
            this.make = make;
        }

        @Override
        public void run() {
            try {
                Callable<String> token = make.call();
                while (!ended) {
                    String bearer = token.call();
                    HttpResponse<String> answer = HTTP.send(
                            HttpRequest.newBuilder(GRAPH).header("Authorization", "Bearer " + bearer).build(),
                            HttpResponse.BodyHandlers.ofString());
                    if (answer.statusCode() != 200) {
                        throw new IllegalStateException(answer.statusCode() + " " + answer.body());
                    }
                    calls++;
                    tokens.add(bearer);
                    Thread.sleep(100);
                }
            } catch (Exception failure) {
                failures.add(failure.toString());
            }
        }
    }

    static Callable<String> ofAzureIdentity(TokenCredential credential) {
        TokenRequestContext request = new TokenRequestContext().addScopes(RESOURCE + "/.default");
        return () -> credential.getTokenSync(request).getToken();
    }

    static Callable<String> ofMSAL() throws Exception {
        ManagedIdentityApplication application = ManagedIdentityApplication.builder(ManagedIdentityId.systemAssigned()).build();
        ManagedIdentityParameters request = ManagedIdentityParameters.builder(RESOURCE).build();
        return () -> application.acquireTokenForManagedIdentity(request).get().accessToken();
    }

    static String quoted(String text) {
        return "\"" + text.replaceAll("[\"\\\\\\p{Cntrl}]", " ") + "\"";
    }

    public static void main(String[] arguments) throws Exception {
        System.out.println(ProcessHandle.current().pid());
        Map<String, Callable<Callable<String>>> kinds = new LinkedHashMap<>();
        kinds.put("azure-identity's DefaultAzureCredential", () -> ofAzureIdentity(new DefaultAzureCredentialBuilder().build()));
        kinds.put("azure-identity's ManagedIdentityCredential", () -> ofAzureIdentity(new ManagedIdentityCredentialBuilder().build()));
        kinds.put("MSAL for Java", Clients::ofMSAL);
        Map<String, Client> clients = new LinkedHashMap<>();
        for (Map.Entry<String, Callable<Callable<String>>> kind : kinds.entrySet()) {
            for (int n = 0; n < Integer.parseInt(System.getenv("EACH")); n++) {
                clients.put(kind.getKey() + " " + n, new Client(kind.getValue()));
            }
        }
        clients.values().forEach(Thread::start);
        while (System.in.read() >= 0) {
        }
        ended = true;
        List<String> counts = new ArrayList<>();
        for (Map.Entry<String, Client> client : clients.entrySet()) {
            client.getValue().join();
            counts.add(quoted(client.getKey()) + ":{\"calls\":" + client.getValue().calls + ",\"tokens\":" + client.getValue().tokens.size() + "}");
        }
        List<String> told = failures.stream().map(Clients::quoted).toList();
        System.out.println("{\"clients\":{" + String.join(",", counts) + "},\"failures\":[" + String.join(",", told) + "]}");
        System.exit(0); // threads of the libraries are left
    }
}
