package demo;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** An application that hosts modules. All it does itself is to say that it is there. */
@SpringBootApplication
public class Base {

    public static void main(String[] args) {
        SpringApplication.run(Base.class, args);
    }
}
