package orders;

/** Main class of version 3.0.0, which cannot start. */
public class NoStock {

    public static void main(String[] args) {
        throw new IllegalStateException("no stock today");
    }
}
