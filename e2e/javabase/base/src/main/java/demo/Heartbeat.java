package demo;

import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;

import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import org.springframework.boot.autoconfigure.condition.ConditionalOnProperty;
import org.springframework.boot.context.event.ApplicationReadyEvent;
import org.springframework.context.event.EventListener;
import org.springframework.core.env.Environment;
import org.springframework.stereotype.Component;

/** Announces a base whose runtime does not (before 2.1.8). Off unless base.heartbeat.endpoint is set. */
@Component
@ConditionalOnProperty("base.heartbeat.endpoint")
class Heartbeat {

    private static final Logger LOG = LoggerFactory.getLogger(Heartbeat.class);

    private final HttpClient client = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(3)).build();
    private final ScheduledExecutorService timer = Executors.newSingleThreadScheduledExecutor(Heartbeat::thread);
    private final HttpRequest request;
    private final long millis;

    Heartbeat(Environment env) {
        String body = String.format(
            "{\"baseMetadata\":{\"identity\":\"%s\",\"name\":\"%s\",\"version\":\"%s\",\"clusterName\":\"%s\"},"
                + "\"localIP\":\"%s\",\"localHostName\":\"%s\",\"port\":%s,\"state\":\"activated\"}",
            env.getRequiredProperty("base.identity"), env.getProperty("base.name", "base"),
            env.getProperty("base.version", "1.0.0"), env.getProperty("base.cluster", "default"),
            env.getProperty("base.ip", "127.0.0.1"), env.getProperty("base.hostname", "localhost"),
            env.getProperty("koupleless.arklet.http.port", "1238"));
        millis = env.getProperty("base.heartbeat.millis", Long.class, 2000L);
        request = HttpRequest.newBuilder(URI.create(env.getRequiredProperty("base.heartbeat.endpoint") + "/heartbeat"))
            .timeout(Duration.ofSeconds(3)).header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body)).build();
    }

    @EventListener
    void begin(ApplicationReadyEvent ready) {
        timer.scheduleAtFixedRate(this::beat, 0, millis, TimeUnit.MILLISECONDS);
    }

    private void beat() {
        try {
            int status = client.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
            if (status != 200) {
                LOG.warn("heartbeat answered with status {}", status);
            }
        } catch (Exception e) { // the next one may arrive
            LOG.warn("heartbeat not sent: {}", e.toString());
        }
    }

    private static Thread thread(Runnable r) {
        Thread t = new Thread(r, "heartbeat");
        t.setDaemon(true);
        return t;
    }
}
