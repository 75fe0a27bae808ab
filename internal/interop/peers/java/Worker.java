import com.azure.json.JsonProviders;
import com.azure.json.JsonReader;
import com.azure.json.JsonWriter;
import com.microsoft.aad.msal4j.*;
import java.io.*;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.*;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/**
 * MSAL for Java as another program has it: it knows nothing but the record, a file, and holds no
 * lock. The protocol is that of ../../worker_test.go: one JSON object a line, commands in, answers
 * out.
 */
public class Worker {
    private final Map<String, Object> peer;
    private final HttpClient http;
    private final Path record;
    private final Set<String> scopes = new LinkedHashSet<>();
    private PublicClientApplication app;

    public static void main(String[] args) throws Exception {
        // The imitation of Entra is told the host that was meant.
        System.setProperty("jdk.httpclient.allowRestrictedHeaders", "host");
        Worker worker = new Worker(parse(System.getenv("PEER")));
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream out = new PrintStream(new FileOutputStream(FileDescriptor.out), true, "UTF-8");
        for (String line; (line = in.readLine()) != null; ) {
            Map<String, Object> answer;
            try {
                answer = worker.obey(parse(line));
            } catch (Exception e) {
                Throwable cause = e;
                while ((cause instanceof ExecutionException || cause instanceof CompletionException) && cause.getCause() != null) {
                    cause = cause.getCause();
                }
                answer = Map.of("error", cause.toString());
            }
            StringWriter text = new StringWriter();
            try (JsonWriter json = JsonProviders.createWriter(text)) {
                json.writeUntyped(answer);
            }
            out.println(text);
        }
        System.exit(0);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> parse(String text) throws IOException {
        try (JsonReader json = JsonProviders.createReader(text)) {
            return (Map<String, Object>) json.readUntyped();
        }
    }

    private Worker(Map<String, Object> peer) throws Exception {
        this.peer = peer;
        record = Path.of((String) peer.get("record"));
        for (Object scope : (List<?>) peer.get("scopes")) {
            scopes.add((String) scope);
        }
        KeyStore roots = KeyStore.getInstance(KeyStore.getDefaultType());
        roots.load(null, null);
        try (InputStream ca = Files.newInputStream(Path.of((String) peer.get("ca")))) {
            roots.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(ca));
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(roots);
        SSLContext tls = SSLContext.getInstance("TLS");
        tls.init(null, trust.getTrustManagers(), null);
        http = HttpClient.newBuilder().sslContext(tls).version(HttpClient.Version.HTTP_1_1).build();
        restart();
    }

    private void restart() throws Exception {
        app = PublicClientApplication.builder((String) peer.get("client"))
            .authority((String) peer.get("authority"))
            .httpClient(this::send)
            .setTokenCacheAccessAspect(new Plugin())
            .build();
    }

    /** Every host name leads to the imitation of Entra. */
    private IHttpResponse send(com.microsoft.aad.msal4j.HttpRequest asked) throws Exception {
        URI meant = asked.url().toURI();
        URI there = URI.create("https://" + peer.get("address") + meant.getRawPath() + (meant.getRawQuery() == null ? "" : "?" + meant.getRawQuery()));
        java.net.http.HttpRequest.Builder request = java.net.http.HttpRequest.newBuilder(there).header("Host", meant.getAuthority());
        asked.headers().forEach(request::header);
        request.method(asked.httpMethod().name(), asked.body() == null
            ? java.net.http.HttpRequest.BodyPublishers.noBody()
            : java.net.http.HttpRequest.BodyPublishers.ofString(asked.body()));
        java.net.http.HttpResponse<String> response = http.send(request.build(), BodyHandlers.ofString());
        com.microsoft.aad.msal4j.HttpResponse answer = new com.microsoft.aad.msal4j.HttpResponse();
        answer.statusCode(response.statusCode()).body(response.body());
        answer.addHeaders(response.headers().map());
        return answer;
    }

    /** The cache aspect that MSAL's users write by hand. */
    private class Plugin implements ITokenCacheAccessAspect {
        @Override
        public void beforeCacheAccess(ITokenCacheAccessContext context) {
            try {
                if (Files.exists(record)) {
                    context.tokenCache().deserialize(Files.readString(record));
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }

        @Override
        public void afterCacheAccess(ITokenCacheAccessContext context) {
            try {
                if (context.hasCacheChanged()) {
                    Files.writeString(record, context.tokenCache().serialize());
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    private Map<String, Object> obey(Map<String, Object> command) throws Exception {
        switch ((String) command.get("do")) {
            case "restart":
                restart();
                return Map.of();
            case "redeem":
                return token(app.acquireToken(AuthorizationCodeParameters
                    .builder((String) command.get("code"), URI.create((String) command.get("redirect")))
                    .codeVerifier((String) command.get("verifier")).scopes(scopes).claimsFromClient((String) command.get("claims")).build()).get());
            case "silent":
                return token(app.acquireTokenSilently(SilentParameters.builder(scopes, account()).build()).get());
            case "refresh":
                return token(app.acquireTokenSilently(SilentParameters.builder(scopes, account()).forceRefresh(true).build()).get());
            case "accounts":
                List<String> names = new ArrayList<>();
                app.getAccounts().get().forEach(a -> names.add(a.username()));
                return Map.of("accounts", names);
            case "sign out":
                app.removeAccount(account()).get();
                return Map.of();
            case "application":
                return token(service().acquireToken(ClientCredentialParameters
                    .builder(Set.of("https://graph.microsoft.com/.default")).claimsFromClient((String) command.get("claims")).build()).get());
            case "on behalf":
                return token(service().acquireToken(OnBehalfOfParameters
                    .builder(scopes, new UserAssertion((String) command.get("assertion"))).build()).get());
            default:
                throw new IllegalArgumentException("there is no command " + command.get("do"));
        }
    }

    private ConfidentialClientApplication service() throws Exception {
        return ConfidentialClientApplication
            .builder((String) peer.get("confidential"), ClientCredentialFactory.createFromSecret((String) peer.get("secret")))
            .authority((String) peer.get("authority"))
            .httpClient(this::send)
            .setTokenCacheAccessAspect(new Plugin())
            .build();
    }

    private IAccount account() throws Exception {
        for (IAccount a : app.getAccounts().get()) {
            if (peer.get("user").equals(a.username())) {
                return a; // of several with one home account
            }
        }
        throw new NoSuchElementException("no account is " + peer.get("user") + "'s");
    }

    private static Map<String, Object> token(IAuthenticationResult result) {
        return Map.of("token", result.accessToken());
    }
}
