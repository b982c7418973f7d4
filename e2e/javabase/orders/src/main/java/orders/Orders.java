package orders;

import java.util.Map;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.core.env.Environment;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A web module on a free port, so that two versions of it run side by side. */
@RestController
@SpringBootApplication
public class Orders {

    private final Environment env;

    Orders(Environment env) {
        this.env = env;
    }

    @GetMapping("/")
    String version() {
        return "orders " + env.getProperty("orders.version");
    }

    private static void run(String version, String[] args) {
        System.out.println("orders " + version + " starts"); // which logs where differs between runtimes
        SpringApplication app = new SpringApplication(Orders.class);
        app.setDefaultProperties(Map.of("orders.version", version));
        app.run(args);
    }

    /** Main class of version 1.0.0. */
    public static class First {
        public static void main(String[] args) {
            run("1.0.0", args);
        }
    }

    /** Main class of version 2.0.0. */
    public static class Second {
        public static void main(String[] args) {
            run("2.0.0", args);
        }
    }
}
