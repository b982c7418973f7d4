package stock;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A web module on a fixed port, of which a second one beside the first cannot start. */
@SpringBootApplication
public class Stock {

    public static void main(String[] args) {
        System.out.println("stock 1.0.0 starts");
        SpringApplication.run(Stock.class, args);
    }
}
