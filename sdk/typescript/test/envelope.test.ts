import assert from "node:assert/strict";
import { test } from "node:test";
import { Ring, UndecryptableError, aad, field, generateKey, sealWith } from "#dist/client/envelope.js";
import { readVectors } from "./vectors.js";

interface Vector {
  name: string;
  result: "opens" | "undecryptable";
  key: string;
  key_id: string;
  salt: string;
  iv: string;
  aes_key: string;
  about_fields: { name: string; text?: string; hex?: string }[];
  about: string;
  aad: string;
  plain?: string;
  sealed: string;
}

const hex = (text: string) => Buffer.from(text, "hex");
const { cases } = readVectors<{ cases: Vector[] }>("internal/envelope/testdata/vectors.json");

test("the vectors are all there", () => {
  const opens = cases.filter((c) => c.result === "opens").length;
  assert.ok(opens >= 8 && cases.length - opens >= 12, `${opens} of ${cases.length} open`);
});

for (const c of cases) {
  test(`vector: ${c.name}`, () => {
    const ring = new Ring(c.key);
    assert.equal(ring.activeID, c.key_id);
    const about = Buffer.concat(
      c.about_fields.map((f) => field(f.text ?? (f.hex === undefined ? undefined : hex(f.hex)))),
    );
    assert.equal(about.toString("hex"), c.about);
    if (c.result === "undecryptable") {
      assert.throws(() => ring.open(hex(c.sealed), about), UndecryptableError);
      return;
    }
    assert.equal(ring.open(hex(c.sealed), about).toString("hex"), c.plain);
    assert.equal(aad(hex(c.sealed).subarray(0, 33), about).toString("hex"), c.aad);
    const sealed = sealWith(hex(c.aes_key), hex(c.key_id), hex(c.salt), hex(c.iv), hex(c.plain!), about);
    assert.equal(sealed.toString("hex"), c.sealed);
  });
}

test("what a ring seals, another of the key opens, and no altered byte does", () => {
  const key = generateKey();
  const about = Buffer.from("about");
  const sealed = new Ring(key).seal(Buffer.from("plain"), about);
  const ring = new Ring(generateKey(), [key]);
  assert.equal(ring.open(sealed, about).toString(), "plain");
  for (let i = 0; i < sealed.length; i++) {
    const altered = Buffer.from(sealed);
    altered[i]! ^= 1 << i % 8;
    assert.throws(() => ring.open(altered, about), UndecryptableError, `byte ${i}`);
  }
  assert.throws(() => ring.open(sealed, Buffer.from("About")), UndecryptableError);
});

test("each ring and each value has random bytes of its own", () => {
  const key = generateKey();
  const seal = (ring: Ring) => ring.seal(Buffer.from("plain"), Buffer.alloc(0)).toString("hex");
  const [one, other] = [new Ring(key), new Ring(key)];
  const salts = [one, one, other].map((ring) => seal(ring).slice(34, 66));
  assert.equal(salts[0], salts[1]);
  assert.notEqual(salts[0], salts[2]);
  assert.notEqual(seal(one).slice(66, 98), seal(one).slice(66, 98));
});

test("an unknown key is named, and nothing else is", () => {
  const other = new Ring(generateKey());
  const ring = new Ring(generateKey());
  const sealed = other.seal(Buffer.from("secret"), Buffer.alloc(0));
  assert.throws(() => ring.open(sealed, Buffer.alloc(0)), { unknownKey: other.activeID, message: "undecryptable" });
});

test("what is no key is refused, unquoted", () => {
  for (const bad of ["", "abc", "z".repeat(64), `${generateKey()}00`]) {
    assert.throws(() => new Ring(bad), (err: Error) => err instanceof TypeError && (bad === "" || !err.message.includes(bad)));
  }
});
