// SPDX-License-Identifier: Apache-2.0
// A Java program with a cache on its heap: each piece of work wants one of KEYS values, and a value that is not there is made
// anew, as others load it again. The cache forgets what was used least recently, and is never larger than its part of
// SoftMaxHeapSize: the flag by which a HotSpot machine is told how large its heap had better be.
//
//   java Cache KEYS OUT
//
// OUT has one line a second: work done, values made and the bytes that the cache may hold. While there is a file OUT.whole, it
// sets SoftMaxHeapSize to all of the heap, looks at each object and removes the file.
import com.sun.management.HotSpotDiagnosticMXBean;
import java.io.File;
import java.io.FileWriter;
import java.lang.management.ManagementFactory;
import java.security.MessageDigest;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;

public class Cache {
  static final int VALUE = 1000;
  static final int ENTRY = VALUE + 100;  // with its key, its node and its headers
  static final double PART = 0.75;       // of the heap; the rest is for garbage on its way

  static long bound = Long.MAX_VALUE;
  static long made = 0;
  static MessageDigest digest;

  static final Map<Integer, byte[]> values = new LinkedHashMap<>(1024, 0.75f, true) {
    @Override
    protected boolean removeEldestEntry(Map.Entry<Integer, byte[]> eldest) {
      return (long) size() * ENTRY > bound;
    }
  };

  // Its bytes pack badly.
  static byte[] make(int key) {
    final byte[] value = new byte[VALUE];
    new Random(key).nextBytes(value);
    return value;
  }

  static byte[] value(int key) throws Exception {
    byte[] value = values.get(key);
    if (value == null) {
      value = make(key);
      values.put(key, value);
      ++made;
    }
    return value;
  }

  // As at the start: what there is room for comes from where all of it lies.
  static void fill(int keys) {
    for (int key = keys; key-- > 0;) {
      if (!values.containsKey(key)) values.put(key, make(key));
    }
  }

  static void turnTo(long bytes, int keys) {
    final boolean grows = bytes > bound;
    bound = bytes;
    if (grows && (long) keys * ENTRY <= bound) fill(keys);
    final var oldest = values.entrySet().iterator();
    while ((long) values.size() * ENTRY > bound && oldest.hasNext()) {
      oldest.next();
      oldest.remove();
    }
  }

  public static void main(String[] words) throws Exception {
    final int keys = Integer.parseInt(words[0]);
    final var machine = ManagementFactory.getPlatformMXBean(HotSpotDiagnosticMXBean.class);
    digest = MessageDigest.getInstance("SHA-1");
    final Random random = new Random(1);
    final File whole = new File(words[1] + ".whole");
    long done = 0, next = 0;
    try (FileWriter out = new FileWriter(words[1])) {
      fill(keys);
      while (true) {
        // Small keys are wanted more often, as the cube of an even distribution.
        final double even = random.nextDouble();
        digest.update(value((int) (even * even * even * keys)));
        ++done;
        if (done % 16 != 0 || System.nanoTime() < next) continue;
        next = System.nanoTime() + 1_000_000_000L;
        if (whole.exists()) {
          machine.setVMOption("SoftMaxHeapSize", Long.toString(Runtime.getRuntime().maxMemory()));
          System.gc();
          whole.delete();
        }
        final long soft = Long.parseLong(machine.getVMOption("SoftMaxHeapSize").getValue());
        turnTo((long) ((soft == 0 ? Runtime.getRuntime().maxMemory() : soft) * PART), keys);
        out.write(done + " " + made + " " + bound + "\n");
        out.flush();
      }
    }
  }
}
